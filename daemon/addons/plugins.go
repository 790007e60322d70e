package addons

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"towline/daemon"
	"towline/daemon/journal"
	"towline/daemon/work"
	"towline/plugins"
)

// PluginInfo is a service that can be added.
type PluginInfo struct {
	Name      string   `json:"name"`
	Title     string   `json:"title"`
	Versions  []string `json:"versions"`
	Installed bool     `json:"installed"` // by plugins:install, else it came with Towline or the machine's configuration
	Dir       string   `json:"dir"`
	Addons    []string `json:"addons"` // of this service
}

// PluginDir is where plugins:install puts plugins below the state directory.
func PluginDir(state string) string { return filepath.Join(state, "plugins") }

// fetchTimeout bounds the clone of a plugin's repository.
const fetchTimeout = 2 * time.Minute

// List lists the services.
func (pl *Plugins) List(ctx context.Context) ([]PluginInfo, error) {
	addons, err := daemon.Read(ctx, pl.Store, daemon.Tx.Addons)
	list := []PluginInfo{}
	for _, name := range pl.Catalog.Names() {
		if m, ok := pl.Catalog.Service(name); ok {
			list = append(list, pl.PluginInfo(m, addons))
		}
	}
	return list, err
}

func (pl *Plugins) PluginInfo(m *plugins.Manifest, addons []daemon.Addon) PluginInfo {
	info := PluginInfo{Name: m.Name, Title: m.Title, Versions: m.VersionNames(), Dir: m.Dir(), Addons: []string{}}
	info.Installed = filepath.Dir(info.Dir) == PluginDir(pl.Dir)
	for _, a := range addons {
		if a.Service == m.Name {
			info.Addons = append(info.Addons, a.Name)
		}
	}
	return info
}

// Install copies a plugin's folder, or what a Git repository holds, to this
// installation's own plugins. Its add-ons, if there are any, must still be possible.
func (pl *Plugins) Install(ctx context.Context, source, member string, out io.Writer) (PluginInfo, error) {
	unlock, err := pl.LockPlugins(ctx)
	if err != nil {
		return PluginInfo{}, err
	}
	defer unlock()
	m, clean, err := pl.FindPlugin(ctx, source, out)
	if err != nil {
		return PluginInfo{}, err
	}
	defer clean()
	addons, err := daemon.Read(ctx, pl.Store, daemon.Tx.Addons)
	if err != nil {
		return PluginInfo{}, err
	}
	for _, a := range addons {
		if a.Service != m.Name {
			continue
		}
		i := instance(a)
		i.Secrets, _ = m.Completed(i.Secrets)
		if _, err := m.Render(i); err != nil {
			return PluginInfo{}, daemon.Errorf(daemon.Conflict, "the add-on %s would not work any more: %w", a.Name, err).WithHint("nothing was changed")
		}
	}
	if err := plugins.Install(m, PluginDir(pl.Dir)); err != nil {
		return PluginInfo{}, err
	}
	if err := pl.Catalog.Reload(); err != nil {
		pl.Log.Warn("add-on manifests", "err", err)
	}
	if err := pl.CompleteSecrets(ctx); err != nil {
		return PluginInfo{}, err
	}
	installed, ok := pl.Catalog.Service(m.Name)
	if !ok {
		return PluginInfo{}, daemon.Errorf(daemon.Failed, "%s is copied but not found", m.Name)
	}
	return pl.PluginInfo(installed, addons), pl.Store.Update(ctx, func(tx daemon.Tx) error {
		return tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.PluginInstalled, Subject: m.Name, Text: "installed the plugin " + m.Name, Undo: "plugins:remove " + m.Name})
	})
}

// FindPlugin loads the manifest of a folder on this host, or of a repository that is
// cloned for it; clean removes the clone.
func (pl *Plugins) FindPlugin(ctx context.Context, source string, out io.Writer) (m *plugins.Manifest, clean func(), err error) {
	dir, clean := source, func() {}
	if plugins.IsURL(source) {
		root := work.Dir(pl.Dir, "plugin")
		if err := errors.Join(os.RemoveAll(root), os.MkdirAll(root, 0o700)); err != nil {
			return nil, nil, err
		}
		clean = func() { _ = os.RemoveAll(root) }
		dir = filepath.Join(root, "clone")
		work.Stage(out, "Fetching %s", source)
		ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
		defer cancel()
		if err := plugins.Fetch(ctx, source, dir); err != nil {
			clean()
			return nil, nil, daemon.Errorf(daemon.Invalid, "%s can't be fetched: %w", daemon.Clip(source), err).
				WithHint("give an address like https://host/owner/plugin.git, or a folder on the host")
		}
	} else if !filepath.IsAbs(source) {
		return nil, nil, daemon.Errorf(daemon.Invalid, "%q is neither a Git address nor the full path of a folder on the host", daemon.Clip(source)).
			WithHint("towline plugins:install /home/me/plugins/memcached")
	}
	m, err = plugins.LoadFile(filepath.Join(dir, plugins.FileName))
	if err == nil {
		return m, clean, nil
	}
	clean()
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, daemon.Errorf(daemon.NotFound, "there is no %s in %s", plugins.FileName, daemon.Clip(source)).WithHint("a plugin is a folder with that file in it")
	}
	return nil, nil, daemon.Errorf(daemon.Invalid, "the manifest is not a good one").
		WithHint("%s\ndocs/plugins.md tells what it may say", strings.ReplaceAll(err.Error(), dir+"/", ""))
}

// Remove removes a plugin that was installed and has no add-ons.
func (pl *Plugins) Remove(ctx context.Context, name, member string) error {
	unlock, err := pl.LockPlugins(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	list, err := pl.List(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(p PluginInfo) bool { return p.Name == name })
	switch {
	case i < 0:
		return daemon.Errorf(daemon.NotFound, "there is no plugin %q", daemon.Clip(name)).WithHint("towline plugins:list")
	case !list[i].Installed:
		return daemon.Errorf(daemon.Conflict, "%s is not one that was installed here: it is in %s", name, list[i].Dir).WithHint("towline plugins:list")
	case len(list[i].Addons) > 0:
		return daemon.Errorf(daemon.Conflict, "%s is in use by %s", name, strings.Join(list[i].Addons, ", ")).
			WithHint("towline addons:destroy %s removes the add-on first", list[i].Addons[0])
	}
	if err := plugins.Uninstall(name, PluginDir(pl.Dir)); err != nil {
		return err
	}
	if err := pl.Catalog.Reload(); err != nil {
		pl.Log.Warn("add-on manifests", "err", err)
	}
	return pl.Store.Update(ctx, func(tx daemon.Tx) error {
		return tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.PluginRemoved, Subject: name, Text: "removed the plugin " + name})
	})
}

// LockPlugins takes the lock of everything that looks at a plugin or changes what there
// are. A check holds it for as long as it runs.
func (pl *Plugins) LockPlugins(ctx context.Context) (unlock func(), err error) {
	out := journal.WaitsOf(ctx)
	return pl.Locks.Lock(ctx, "plugins", func(since time.Time) {
		work.Say(out, " !     Waiting for the check or installation of another plugin, begun %s", journal.Begun(since))
	})
}
