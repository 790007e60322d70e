package machine

import (
	"context"
	"errors"
	"io"
	"os"

	"towline/daemon"
	"towline/daemon/journal"
	"towline/daemon/people"
	"towline/daemon/work"
)

// App returns one app.
func (d *Daemon) App(ctx context.Context, name string) (daemon.App, error) {
	return daemon.Read(ctx, d.Store, func(tx daemon.Tx) (daemon.App, error) { return daemon.FindApp(tx, name) })
}

// Apps lists the apps that the member may view, by name. An empty member is the
// operator on the host, who may view all.
func (d *Daemon) Apps(ctx context.Context, member string) ([]daemon.App, error) {
	return daemon.Read(ctx, d.Store, func(tx daemon.Tx) ([]daemon.App, error) {
		apps, err := tx.Apps()
		if err != nil {
			return nil, err
		}
		var out []daemon.App
		for _, a := range apps {
			ok, err := people.May(tx, member, a.Name, daemon.View)
			if err != nil {
				return nil, err
			}
			if ok {
				out = append(out, a)
			}
		}
		return out, nil
	})
}

// CreateApp makes an empty app with a repository to push to. The member who made it
// may do everything with it.
func (d *Daemon) CreateApp(ctx context.Context, name, member string) (daemon.App, error) {
	if err := daemon.CheckAppName(name); err != nil {
		return daemon.App{}, err
	}
	unlock, err := d.Journal.LockApp(ctx, name, nil)
	if err != nil {
		return daemon.App{}, err
	}
	defer unlock()
	_, err = d.App(ctx, name)
	if err == nil {
		return daemon.App{}, daemon.Errorf(daemon.Exists, "the name %s is taken", name).WithHint("choose another, or see towline apps:info -a %s", name)
	}
	if !daemon.IsKind(err, daemon.NotFound) {
		return daemon.App{}, err
	}
	room := func(tx daemon.Tx) (struct{}, error) { return struct{}{}, d.roomForApp(tx, member) }
	if _, err := daemon.Read(ctx, d.Store, room); err != nil {
		return daemon.App{}, err
	}
	// The repository comes first: one without an app is invisible, and is taken
	// over when the name is used again.
	if err := d.Repositories.Create(ctx, name); err != nil {
		return daemon.App{}, err
	}
	app := daemon.App{Name: name, Created: daemon.Now(), Owner: member, Formation: daemon.Formation{}, Config: map[string]string{}}
	err = d.Store.Update(ctx, func(tx daemon.Tx) error {
		if err := d.roomForApp(tx, member); err != nil { // others were made meanwhile
			return err
		}
		if err := tx.InsertApp(app); err != nil {
			return err
		}
		if member != "" {
			access := daemon.Access{App: name, Member: member, Permissions: []daemon.Permission{daemon.View, daemon.Deploy, daemon.Operate, daemon.Manage}}
			if err := tx.PutAccess(access); err != nil {
				return err
			}
		}
		rel := daemon.Release{App: name, Status: daemon.ReleaseGood, Description: "Initial release", Member: member, Created: daemon.Now()}
		if err := tx.InsertRelease(&rel); err != nil {
			return err
		}
		app.Current = rel.Version
		return errors.Join(tx.UpdateApp(app), tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, App: name, Text: "created the app"}))
	})
	if err != nil {
		return app, err
	}
	if err := d.syncRoute(ctx, name); err != nil {
		// The app is there. Its address says so as soon as the proxy is back.
		d.Log.Warn("route of a new app", "app", name, "err", err)
		d.Life.Go(func(ctx context.Context) { d.syncRouteLater(ctx, name) })
	}
	return app, nil
}

const opDestroy = "destroy"

func (d *Daemon) destroyKind() journal.Kind {
	return journal.Kind{Name: opDestroy, Text: "the destruction", Of: journal.OfApp, Ends: true, Steps: []string{"remove"}, Recover: d.removeApp}
}

// DestroyApp removes an app with its releases, processes, routes and logs. Add-ons
// hold data, so they must be gone first.
func (d *Daemon) DestroyApp(ctx context.Context, name, member string, out io.Writer) error {
	unlock, err := d.Journal.LockApp(ctx, name, out)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := d.App(ctx, name); err != nil {
		return err
	}
	attached, err := daemon.Read(ctx, d.Store, daemon.Tx.Attachments)
	if err != nil {
		return err
	}
	addons, err := daemon.Read(ctx, d.Store, daemon.Tx.Addons)
	if err != nil {
		return err
	}
	for _, a := range addons {
		if a.App == name {
			return daemon.Errorf(daemon.Conflict, "%s still has the add-on %s, which holds data", name, a.Name).
				WithHint("towline addons:destroy %s --confirm %s; or hand it over to another app: towline addons:transfer %s -a APP", a.Name, a.Name, a.Name)
		}
	}
	for _, at := range attached {
		if at.App == name {
			return daemon.Errorf(daemon.Conflict, "%s still uses the add-on %s", name, at.Addon).WithHint("towline addons:detach %s -a %s", at.Addon, name)
		}
	}
	ctx, cancel := d.Life.Detach(ctx)
	defer cancel()
	op, err := d.Journal.Begin(ctx, opDestroy, name, member, "remove", nil)
	if err != nil {
		return err
	}
	return d.Life.Outlast(ctx, out, func(ctx context.Context) error { return d.removeApp(ctx, op) })
}

// removeApp does all of a destroy but its first record. Every part may have been
// done before, by a daemon that died.
func (d *Daemon) removeApp(ctx context.Context, op *journal.Operation) error {
	name := op.Subject
	if err := d.Router.Remove(ctx, name); err != nil {
		return err
	}
	if err := d.Containers.RemoveWhere(ctx, map[string]string{daemon.LabelApp: name}, nil); err != nil {
		return err
	}
	d.Containers.ForgetIDs(name)
	if err := d.Engine.RemoveNetwork(ctx, d.Containers.NetworkName(name)); err != nil {
		return err
	}
	releases, err := daemon.Read(ctx, d.Store, func(tx daemon.Tx) ([]daemon.Release, error) { return tx.Releases(name) })
	if err != nil {
		return err
	}
	for _, r := range releases {
		if r.Image != "" {
			err = errors.Join(err, d.Engine.UntagImage(ctx, r.Image))
		}
	}
	err = errors.Join(err, d.Builder.RemoveCaches(ctx, name), d.Repositories.Remove(ctx, name), d.Logs.Remove(name))
	if err != nil {
		return err
	}
	defer d.People.RightsChanged(ctx) // nobody's session goes on with a later app of this name
	return op.Finish(ctx, func(tx daemon.Tx) error {
		if err := tx.DeleteApp(name); err != nil && !daemon.IsKind(err, daemon.NotFound) {
			return err
		}
		if err := op.EndOthers(tx, journal.OfApp); err != nil {
			return err
		}
		return tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: op.Member, App: name, Text: "destroyed the app"})
	})
}

// AppInfo is what apps:info shows.
type AppInfo struct {
	daemon.App
	GitURL  string            `json:"git_url"`
	WebURL  string            `json:"web_url"`
	Domains []string          `json:"domains"`
	Addons  []string          `json:"addons"`
	Members map[string]string `json:"members"`
	Release *daemon.Release   `json:"release,omitempty"`
}

// Info gathers what there is to know of an app at a glance.
func (d *Daemon) Info(ctx context.Context, name string) (AppInfo, error) {
	info, err := daemon.Read(ctx, d.Store, func(tx daemon.Tx) (AppInfo, error) {
		app, err := daemon.FindApp(tx, name)
		if err != nil {
			return AppInfo{}, err
		}
		info := AppInfo{App: app, Members: map[string]string{}, Addons: []string{}}
		if app.Current > 0 {
			r, err := tx.Release(name, app.Current)
			if err != nil {
				return info, err
			}
			info.Release = &r
		}
		attached, err := tx.Attachments()
		if err != nil {
			return info, err
		}
		for _, at := range attached {
			if at.App == name {
				info.Addons = append(info.Addons, at.Addon)
			}
		}
		access, err := tx.Access(name)
		for _, a := range access {
			info.Members[a.Member] = people.JoinPermissions(a.Permissions)
		}
		return info, err
	})
	if err != nil {
		return info, err
	}
	info.GitURL, info.WebURL = d.Remote+name, d.webURL(name)
	info.Domains, err = d.hosts(ctx, name)
	return info, err
}

func (d *Daemon) webURL(app string) string {
	host := app + "." + d.Domain
	if d.Port != "" {
		host += ":" + d.Port
	}
	return "https://" + host + "/"
}

// SetMaintenance switches an app's maintenance page on or off.
func (d *Daemon) SetMaintenance(ctx context.Context, name string, on bool) error {
	return d.changeRoute(ctx, name, func(tx daemon.Tx) error {
		app, err := tx.App(name)
		if err != nil {
			return err
		}
		app.Maintenance = on
		return tx.UpdateApp(app)
	})
}

// SetDeployBranch chooses the branch whose pushes deploy; empty: main and master.
func (d *Daemon) SetDeployBranch(ctx context.Context, name, branch string) error {
	if branch != "" {
		if err := daemon.CheckBranch(branch); err != nil {
			return err
		}
	}
	return d.Store.Update(ctx, func(tx daemon.Tx) error {
		app, err := daemon.FindApp(tx, name)
		if err != nil {
			return err
		}
		app.DeployBranch = branch
		return tx.UpdateApp(app)
	})
}

// removeWork clears the working directory of a build. What it can't remove now, the
// next start does.
func (d *Daemon) removeWork(build string) {
	if err := os.RemoveAll(work.Dir(d.Dir, build)); err != nil {
		d.Log.Error("remove working directory", "err", err)
	}
}
