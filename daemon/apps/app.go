package apps

import (
	"context"
	"errors"
	"io"
	"strings"

	"towline/daemon"
	"towline/daemon/journal"
	"towline/daemon/people"
)

// List lists the apps that the member may view, by name. An empty member is the
// operator on the host, who may view all.
func (as *Apps) List(ctx context.Context, member string) ([]daemon.App, error) {
	return daemon.Read(ctx, as.Store, func(tx daemon.Tx) ([]daemon.App, error) {
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

// Create makes an empty app with a repository to push to. The member who made it
// may do everything with it.
func (as *Apps) Create(ctx context.Context, name, member string) (daemon.App, error) {
	if err := daemon.CheckAppName(name); err != nil {
		return daemon.App{}, err
	}
	unlock, err := as.Journal.LockApp(ctx, name, nil)
	if err != nil {
		return daemon.App{}, err
	}
	defer unlock()
	_, err = as.App(ctx, name)
	if err == nil {
		return daemon.App{}, daemon.Errorf(daemon.Exists, "the name %s is taken", name).WithHint("choose another, or see towline apps:info -a %s", name)
	}
	if !daemon.IsKind(err, daemon.NotFound) {
		return daemon.App{}, err
	}
	room := func(tx daemon.Tx) (struct{}, error) { return struct{}{}, as.roomForApp(tx, member) }
	if _, err := daemon.Read(ctx, as.Store, room); err != nil {
		return daemon.App{}, err
	}
	handle := as.Containers.Handles.Take(name)
	made := false
	defer func() {
		if !made {
			as.Containers.Handles.Drop(name)
		}
	}()
	// The repository comes first: one without an app is invisible, and is taken
	// over when the name is used again.
	if err := as.Repositories.Create(ctx, name); err != nil {
		return daemon.App{}, err
	}
	app := daemon.App{Name: name, Handle: handle, Created: daemon.Now(), Owner: member, Formation: daemon.Formation{}, Config: map[string]string{}}
	err = as.Store.Update(ctx, func(tx daemon.Tx) error {
		if err := as.roomForApp(tx, member); err != nil { // others were made meanwhile
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
		return errors.Join(tx.UpdateApp(app), tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.AppCreated, App: name, Release: rel.Version, Text: "created the app", Undo: "apps:destroy"}))
	})
	if err != nil {
		return app, err
	}
	made = true
	if err := as.routes.syncRoute(ctx, name); err != nil {
		// The app is there. Its address says so as soon as the proxy is back.
		as.Log.Warn("route of a new app", "app", name, "err", err)
		as.Life.Go(func(ctx context.Context) { as.routes.syncRouteLater(ctx, name) })
	}
	return app, nil
}

const opDestroy = "destroy"

func (as *Apps) destroyKind() journal.Kind {
	return journal.Kind{Name: opDestroy, Text: "the destruction", Of: journal.OfApp, Ends: true, Steps: []string{"remove"}, Recover: as.removeApp}
}

// Destroy removes an app with its releases, processes, routes and logs. Add-ons
// hold data, so they must be gone first.
func (as *Apps) Destroy(ctx context.Context, name, member string, out io.Writer) error {
	unlock, err := as.Journal.LockApp(ctx, name, out)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := as.App(ctx, name); err != nil {
		return err
	}
	attached, err := daemon.Read(ctx, as.Store, daemon.Tx.Attachments)
	if err != nil {
		return err
	}
	addons, err := daemon.Read(ctx, as.Store, daemon.Tx.Addons)
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
	ctx, cancel := as.Life.Detach(ctx)
	defer cancel()
	within := func(tx daemon.Tx) error { return as.routes.checkNoneWithin(tx, name, member) }
	event := daemon.Activity{Kind: daemon.AppDestroyed, Member: member, App: name, Text: "destroyed the app"}
	op, err := as.Journal.Begin(ctx, opDestroy, name, event, "remove", nil, within)
	if err != nil {
		return err
	}
	return as.Life.Outlast(ctx, out, func(ctx context.Context) error { return as.removeApp(ctx, op) })
}

// removeApp does all of a destroy but its first record. Every part may have been
// done before, by a daemon that died.
func (as *Apps) removeApp(ctx context.Context, op *journal.Operation) error {
	name := op.Subject
	if err := as.Router.Remove(ctx, name); err != nil {
		return err
	}
	if err := as.Containers.RemoveWhere(ctx, map[string]string{daemon.LabelApp: name}, nil); err != nil {
		return err
	}
	as.Containers.ForgetIDs(name)
	if err := as.Engine.RemoveNetwork(ctx, as.Containers.NetworkName(name)); err != nil {
		return err
	}
	releases, err := daemon.Read(ctx, as.Store, func(tx daemon.Tx) ([]daemon.Release, error) { return tx.Releases(name) })
	if err != nil {
		return err
	}
	for _, r := range releases {
		if r.Image != "" {
			err = errors.Join(err, as.Engine.UntagImage(ctx, r.Image))
		}
	}
	err = errors.Join(err, as.Builder.RemoveCaches(ctx, name), as.Repositories.Remove(ctx, name), as.Logs.Remove(name))
	if err != nil {
		return err
	}
	defer as.People.RightsChanged(ctx) // nobody's session goes on with a later app of this name
	err = op.Finish(ctx, func(tx daemon.Tx) error {
		if err := tx.DeleteApp(name); err != nil && !daemon.IsKind(err, daemon.NotFound) {
			return err
		}
		return errors.Join(op.EndOthers(tx, journal.OfApp), op.Done(tx))
	})
	if err == nil {
		as.Containers.Handles.Drop(name)
	}
	return err
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
func (as *Apps) Info(ctx context.Context, name string) (AppInfo, error) {
	info, err := daemon.Read(ctx, as.Store, func(tx daemon.Tx) (AppInfo, error) {
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
		rights, err := people.RightsOn(tx, name)
		for _, r := range rights {
			info.Members[r.Member] = people.JoinPermissions(r.Permissions)
		}
		return info, err
	})
	if err != nil {
		return info, err
	}
	info.GitURL, info.WebURL = as.Remote+name, as.routes.WebURL(name)
	info.Domains, err = as.routes.hosts(ctx, name)
	return info, err
}

// SetDeployBranch chooses the branch whose pushes deploy; empty: main and master.
func (as *Apps) SetDeployBranch(ctx context.Context, name, member, branch string) error {
	if branch != "" {
		if err := daemon.CheckBranch(branch); err != nil {
			return err
		}
	}
	return as.Store.Update(ctx, func(tx daemon.Tx) error {
		app, err := daemon.FindApp(tx, name)
		if err != nil {
			return err
		}
		event := daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.BranchSet, App: name, Subject: branch, Text: "chose the branch " + branch + " to deploy", Undo: strings.TrimSpace("apps:deploy-branch " + app.DeployBranch)}
		if branch == "" {
			event.Text = "chose main and master to deploy"
		}
		app.DeployBranch = branch
		return errors.Join(tx.UpdateApp(app), tx.RecordActivity(event))
	})
}

// roomForApp refuses a member more apps than are allowed.
func (as *Apps) roomForApp(tx daemon.Tx, member string) error {
	if member == "" || as.Bounds.Apps == 0 {
		return nil
	}
	m, err := tx.Member(member)
	if err != nil || m.Admin {
		return err
	}
	apps, err := tx.Apps()
	if err != nil {
		return err
	}
	n := 0
	for _, a := range apps {
		if a.Owner == member {
			n++
		}
	}
	if n < as.Bounds.Apps {
		return nil
	}
	return daemon.Errorf(daemon.Conflict, "%s has %d apps, and no member may have more", member, n).
		WithHint("towline apps:destroy -a APP makes room for another, or an administrator raises apps under [limits] in towline.toml")
}

// ReadLogs sends an app's last lines, and with q.Follow what comes after them until
// ctx ends.
func (as *Apps) ReadLogs(ctx context.Context, q daemon.LogQuery, line func(daemon.LogLine) error) error {
	if _, err := as.App(ctx, q.App); err != nil {
		return err
	}
	return as.Logs.Read(ctx, q, line)
}
