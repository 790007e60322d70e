package journeys

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"towline/daemon"
)

// state is what the store says.
type state struct {
	apps     []daemon.App
	domains  map[string][]string         // by app
	releases map[string][]daemon.Release // by app, newest first
	addons   []daemon.Addon
	attached []daemon.AddonAttachment
	backups  []daemon.Backup
	ops      []daemon.Operation
	tests    []daemon.TestRun // of all apps, newest first
}

func (w *world) state(l *life) (s state) {
	w.t.Helper()
	w.must(l.state.View(w.t.Context(), func(tx daemon.Tx) (err error) {
		s.releases, s.domains = map[string][]daemon.Release{}, map[string][]string{}
		if s.apps, err = tx.Apps(); err != nil {
			return err
		}
		for _, a := range s.apps {
			if s.releases[a.Name], err = tx.Releases(a.Name); err != nil {
				return err
			}
			runs, err := tx.TestRuns(a.Name)
			if s.tests = append(s.tests, runs...); err != nil {
				return err
			}
			domains, err := tx.Domains(a.Name)
			if err != nil {
				return err
			}
			for _, d := range domains {
				s.domains[a.Name] = append(s.domains[a.Name], d.Host)
			}
		}
		if s.addons, err = tx.Addons(); err != nil {
			return err
		}
		if s.attached, err = tx.Attachments(); err != nil {
			return err
		}
		if s.backups, err = tx.Backups(""); err != nil {
			return err
		}
		s.ops, err = tx.Operations()
		return err
	}))
	return s
}

func (s state) app(name string) (daemon.App, bool) {
	i := slices.IndexFunc(s.apps, func(a daemon.App) bool { return a.Name == name })
	if i < 0 {
		return daemon.App{}, false
	}
	return s.apps[i], true
}

// has tells whether an app has the handle.
func (s state) has(handle string) bool {
	return slices.ContainsFunc(s.apps, func(a daemon.App) bool { return a.Handle == handle })
}

func (s state) addon(name string) (daemon.Addon, bool) {
	i := slices.IndexFunc(s.addons, func(a daemon.Addon) bool { return a.Name == name })
	if i < 0 {
		return daemon.Addon{}, false
	}
	return s.addons[i], true
}

func (s state) current(app daemon.App) daemon.Release {
	for _, r := range s.releases[app.Name] {
		if r.Version == app.Current {
			return r
		}
	}
	return daemon.Release{}
}

// faultsFound are what is wrong with a world in which nothing is under way: what should run
// and does not, and what is there and belongs to nothing.
func (w *world) faultsFound(l *life) (found []string) {
	s := w.state(l)
	add := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	for _, op := range s.ops {
		add("the journal holds %s:%s of %s", op.Kind, op.Step, op.Subject)
	}
	sources, err := filepath.Glob(filepath.Join(w.dir, "state/tests/*"))
	w.must(err)
	for _, path := range sources {
		if !slices.ContainsFunc(s.tests, func(r daemon.TestRun) bool { return filepath.Base(path) == r.ID+".tar.gz" }) {
			add("the source %s belongs to nothing", filepath.Base(path))
		}
	}
	for _, r := range s.tests {
		if !r.Status.Ended() || slices.ContainsFunc(r.Nodes, func(n daemon.TestNode) bool { return !n.Status.Ended() }) {
			add("test run %d of %s is %s: %+v", r.Number, r.App, r.Status, r.Nodes)
		}
	}
	containers, err := w.engine.ContainerList(w.t.Context(), nil)
	w.must(err)
	wanted := map[string]bool{} // containers, networks, volumes, images
	for _, a := range s.apps {
		wanted["towline-"+a.Handle] = true
		found = append(found, w.appFaults(s, a, containers, wanted)...)
	}
	for _, a := range s.addons {
		wanted["towline-addon-"+a.Name] = true
		found = append(found, w.addonFaults(s, a, wanted)...)
	}
	for _, c := range containers {
		if !wanted[c.Name] {
			add("the container %s belongs to nothing", c.Name)
		}
	}
	networks, err := w.engine.Networks(w.t.Context())
	w.must(err)
	volumes, err := w.engine.Volumes(w.t.Context())
	w.must(err)
	for _, o := range append(networks, volumes...) {
		if !wanted[o.Name] {
			add("the network or volume %s belongs to nothing", o.Name)
		}
	}
	for _, i := range w.engine.Images() {
		for _, ref := range i.Refs {
			if strings.HasPrefix(ref, "localhost/") && !wanted[ref] {
				add("the image %s belongs to nothing", ref)
			}
		}
		if len(i.Refs) == 0 {
			add("an image without a name is left")
		}
	}
	for _, app := range w.router.Paused() {
		add("requests of %s wait", app)
	}
	routes, err := w.router.Routes(w.t.Context())
	w.must(err)
	for _, r := range routes {
		if !s.has(r.App) {
			add("the route of %s belongs to nothing", r.App)
		}
	}
	return append(append(found, w.backupFaults(s)...), w.leftovers(s)...)
}

// appFaults are what is wrong with one app.
func (w *world) appFaults(s state, a daemon.App, containers []daemon.Container, wanted map[string]bool) (found []string) {
	add := func(format string, args ...any) { found = append(found, a.Name+": "+fmt.Sprintf(format, args...)) }
	for _, r := range s.releases[a.Name] {
		if r.Status == daemon.ReleasePending {
			add("v%d is pending", r.Version)
		}
		if r.Image != "" {
			if wanted[r.Image] = true; !slices.ContainsFunc(w.engine.Images(), func(i daemon.Image) bool { return slices.Contains(i.Refs, r.Image) }) {
				add("the image of v%d is gone", r.Version)
			}
		}
	}
	current := s.current(a)
	if current.Status != daemon.ReleaseGood {
		add("the current release v%d is %q", a.Current, current.Status)
	}
	// Add-ons may have changed them though the app did not start: it is told so.
	if newest := s.releases[a.Name][0]; newest.Status == daemon.ReleaseGood && !maps.Equal(current.Config, a.Config) {
		add("config vars %v, of the current release %v", a.Config, current.Config)
	}
	targets := map[string]string{}
	for process := range current.Processes {
		for i := 1; i <= a.Formation[process]; i++ {
			var have []daemon.Container
			for _, c := range containers {
				l := c.Labels
				if l["towline.app"] == a.Handle && l["towline.kind"] == "process" && l["towline.process"] == process && l["towline.index"] == strconv.Itoa(i) {
					have = append(have, c)
				}
			}
			if len(have) != 1 || !have[0].Running {
				add("%s.%d is %d containers: %+v", process, i, len(have), have)
				continue
			}
			c := have[0]
			wanted[c.Name] = true
			if c.Labels["towline.release"] != strconv.Itoa(a.Current) {
				add("%s.%d runs v%s, and v%d is current", process, i, c.Labels["towline.release"], a.Current)
			}
			spec, _ := w.engine.Spec(c.Name)
			for k, v := range current.Config {
				if spec.Env[k] != v {
					add("%s.%d has %s=%q, the release has %q", process, i, k, spec.Env[k], v)
				}
			}
			if !slices.Equal(spec.CapAdd, a.Capabilities) {
				add("%s.%d has the capabilities %v, the app has %v", process, i, spec.CapAdd, a.Capabilities)
			}
			if process == "web" {
				full, err := w.engine.Container(w.t.Context(), c.Name)
				w.must(err)
				targets[c.Name] = full.Addresses["towline-"+a.Handle] + ":5000"
			}
		}
	}
	routes, err := w.router.Routes(w.t.Context())
	w.must(err)
	i := slices.IndexFunc(routes, func(r daemon.Route) bool { return r.App == a.Handle })
	if i < 0 {
		add("it has no route")
		return found
	}
	served := map[string]string{}
	for _, t := range routes[i].Targets {
		served[t.ID] = t.Address
	}
	if !maps.Equal(served, targets) {
		add("the proxy serves %v; %v run", served, targets)
	}
	hosts := append(s.domains[a.Name], a.Name+".example.test")
	if slices.Sort(hosts); !slices.Equal(slices.Sorted(slices.Values(routes[i].Hosts)), hosts) {
		add("the proxy serves %v of the hosts %v", routes[i].Hosts, hosts)
	}
	if routes[i].Maintenance != a.Maintenance {
		add("maintenance is %v at the proxy and %v in the state", routes[i].Maintenance, a.Maintenance)
	}
	return found
}

// addonFaults are what is wrong with one add-on, and with how apps reach it.
func (w *world) addonFaults(s state, a daemon.Addon, wanted map[string]bool) (found []string) {
	add := func(format string, args ...any) { found = append(found, a.Name+": "+fmt.Sprintf(format, args...)) }
	name := fmt.Sprintf("towline-addon-%s.%d", a.Name, a.Generation)
	volume := name + "-data"
	wanted[name], wanted[volume] = true, true
	c, err := w.engine.Container(w.t.Context(), name)
	if err != nil || a.Status != daemon.AddonReady || !c.Running || c.Paused {
		add("it is %s, and its container %+v, %v", a.Status, c, err)
		return found
	}
	if len(a.Secrets) != 1 {
		add("it has %d secrets", len(a.Secrets))
	}
	w.programs.mu.Lock()
	if w.programs.prepared[name] {
		add("it was prepared for a snapshot, and not told of its end")
	}
	w.programs.mu.Unlock()
	path, err := w.engine.VolumePath(w.t.Context(), volume)
	if err != nil {
		add("%v", err)
		return found
	}
	password := a.Secrets["password"]
	if got := passwords(path); len(got) != 1 || got[0] != password {
		add("its service takes %d passwords; the present one: %v", len(got), slices.Contains(got, password))
	}
	networks := []string{"towline-addon-" + a.Name}
	for _, at := range s.attached {
		if at.Addon != a.Name {
			continue
		}
		app, _ := s.app(at.App)
		networks = append(networks, "towline-"+app.Handle)
		for _, v := range at.Vars {
			if !strings.Contains(app.Config[v], password) {
				add("the config var %s of %s is %q, and the password is another", v, at.App, app.Config[v])
			}
		}
	}
	for _, app := range s.apps { // and no other app has its config vars
		for k, v := range app.Config {
			if strings.Contains(v, "@"+a.Name+":") && !slices.Contains(networks, "towline-"+app.Handle) {
				add("%s has %s=%s, and is not attached", app.Name, k, v)
			}
		}
	}
	slices.Sort(networks)
	if joined := slices.Sorted(maps.Keys(w.engine.Joined(name))); !slices.Equal(joined, networks) {
		add("it is in the networks %v, not %v", joined, networks)
	}
	return found
}

// backupFaults are what is wrong with the backups.
func (w *world) backupFaults(s state) (found []string) {
	kept := map[string]bool{}
	for _, b := range s.backups {
		kept[b.ID] = true
		_, err := os.Stat(filepath.Join(w.dir, "vault", b.ID))
		switch {
		case b.Status == daemon.BackupRunning:
			found = append(found, "the backup "+b.ID+" is running")
		case b.Status == daemon.BackupGood && err != nil:
			found = append(found, "the good backup "+b.ID+" has no bytes")
		}
	}
	entries, err := os.ReadDir(filepath.Join(w.dir, "vault"))
	w.must(err)
	for _, e := range entries {
		if !kept[e.Name()] {
			found = append(found, "the bytes of the backup "+e.Name()+" belong to nothing")
		}
	}
	w.offsite.mu.Lock()
	defer w.offsite.mu.Unlock()
	for id := range w.offsite.has {
		if !kept[id] {
			found = append(found, "the copy elsewhere of "+id+" belongs to nothing")
		}
	}
	return found
}

// leftovers are files and repositories that belong to nothing.
func (w *world) leftovers(s state) (found []string) {
	generations := []string{}
	for _, a := range s.addons {
		generations = append(generations, filepath.Join(a.Name, strconv.Itoa(a.Generation)))
	}
	dirs, err := filepath.Glob(filepath.Join(w.dir, "state/addons/*/*"))
	w.must(err)
	for _, d := range dirs {
		rel, err := filepath.Rel(filepath.Join(w.dir, "state/addons"), d)
		w.must(err)
		if !slices.Contains(generations, rel) {
			found = append(found, "the files of "+rel+" belong to nothing")
		}
	}
	work, err := filepath.Glob(filepath.Join(w.dir, "state/work/*"))
	w.must(err)
	for _, d := range work {
		found = append(found, "the working directory "+filepath.Base(d)+" is left")
	}
	w.git.mu.Lock()
	defer w.git.mu.Unlock()
	for name := range w.git.made {
		if !s.has(name) {
			found = append(found, "the repository of "+name+" belongs to nothing")
		}
	}
	return found
}
