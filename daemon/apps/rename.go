package apps

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"towline/daemon"
	"towline/daemon/journal"
	"towline/daemon/work"
)

// renamePatience is how long a rename waits for what is ending of the app, the old processes
// of a deploy, say.
const renamePatience = 45 * time.Second

// Rename gives an app another name: with it, another address and git remote. Its processes go
// on, and its own domains lead to it all the while. In the state it is one transaction, and
// nothing else outside of the proxy knows the name: see package handles.
func (as *Apps) Rename(ctx context.Context, name, to, member string, out io.Writer) error {
	if err := daemon.CheckAppName(to); err != nil {
		return err
	}
	if name == to {
		return daemon.Errorf(daemon.Invalid, "%s has that name already", name)
	}
	unlock, err := as.lockForRename(ctx, name, to, out)
	if err != nil {
		return err
	}
	defer unlock()
	ctx, cancel := as.Life.Detach(ctx)
	defer cancel()
	edit := func(tx daemon.Tx) error { return as.rename(tx, name, to, member) }
	route, err := as.routes.rehearse(ctx, name, edit, to)
	if err != nil {
		return err
	}
	route.App = name // what the proxy calls it stays
	served := as.routes.serveRoute(ctx, route)
	if served == nil || daemon.IsAway(served) {
		err = as.Store.Update(ctx, edit)
	}
	if err := errors.Join(err, served); err != nil && !daemon.IsAway(err) {
		as.Life.Go(func(ctx context.Context) { as.routes.syncRouteLater(ctx, name) }) // to what is stored
		return err
	}
	as.Containers.Handles.Rename(name, to)
	as.People.RightsChanged(ctx) // nobody's session goes on with a later app of this name
	as.Life.Go(func(ctx context.Context) {
		as.routes.syncRouteLater(ctx, to)
		// What died meanwhile did so under the old name.
		if err := as.processes.Converge(ctx, to, func() (Found, error) { return as.processes.Find(ctx) }); err != nil {
			as.processes.convergeLater(ctx, to)
		}
	})
	if served != nil {
		work.Warn(out, "the proxy does not answer; it follows as soon as it is back")
	}
	return nil
}

// rename does all of it in the state.
func (as *Apps) rename(tx daemon.Tx, name, to, member string) error {
	if _, err := daemon.FindApp(tx, name); err != nil {
		return err
	}
	if op, busy, err := underWayIn(tx, name); err != nil {
		return err
	} else if busy { // a one-off takes no lock
		return as.stillUnderWay(op)
	}
	if _, err := tx.App(to); err == nil {
		return daemon.Errorf(daemon.Exists, "the name %s is taken", to).WithHint("choose another")
	} else if !daemon.IsKind(err, daemon.NotFound) {
		return err
	}
	all, err := tx.Apps()
	if err != nil {
		return err
	}
	address := "." + as.Domain
	for _, a := range all {
		domains, err := tx.Domains(a.Name)
		if err != nil {
			return err
		}
		for _, d := range domains {
			if below(d.Host, name+address) {
				return leftWithin(tx, member, name, d)
			}
			if a.Name == name && d.Redirect == name+address {
				d.Redirect = to + address
				if err := tx.UpdateDomain(d); err != nil {
					return err
				}
			}
		}
	}
	if err := tx.RenameApp(name, to); err != nil {
		return err
	}
	return tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.AppRenamed, App: to, Subject: name, Text: "renamed the app from " + name, Undo: "apps:rename " + name})
}

// lockForRename takes the locks of both names and of the app's add-ons, once nothing is under
// way with them: an operation refers to the app by its name.
func (as *Apps) lockForRename(ctx context.Context, name, to string, out io.Writer) (unlock func(), err error) {
	told := false
	for since := time.Now(); ; {
		names := []string{name, to}
		slices.Sort(names) // as whoever renames the other way
		unlock, err := as.Journal.LockApps(ctx, names, out)
		if err != nil {
			return nil, err
		}
		op, busy, err := as.underWay(ctx, name)
		if err == nil && !busy {
			unlockAddons, err := as.lockAddonsForRename(ctx, name, out)
			if err != nil {
				unlock()
				return nil, err
			}
			return func() { unlockAddons(); unlock() }, nil
		}
		unlock()
		if err != nil {
			return nil, err
		}
		kind := as.Journal.Kind(op.Kind)
		if kind.Shared || time.Since(since) > renamePatience {
			return nil, as.stillUnderWay(op)
		}
		if !told {
			work.Stage(out, "Waiting for the end of %s of %s", kind.Text, op.Subject)
			told = true
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// lockAddonsForRename takes the locks of the add-ons that are the app's, or attached to it:
// what is about to begin with one has read already whose it is.
func (as *Apps) lockAddonsForRename(ctx context.Context, app string, out io.Writer) (unlock func(), err error) {
	names, err := daemon.Read(ctx, as.Store, func(tx daemon.Tx) ([]string, error) { return addonsOf(tx, app) })
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, renamePatience, daemon.Errorf(daemon.Conflict, "something is done with an add-on of %s", app).
		WithHint("rename the app once it has ended"))
	defer cancel()
	return as.Journal.LockAddons(ctx, names, out)
}

func (as *Apps) stillUnderWay(op daemon.Operation) error {
	return daemon.Errorf(daemon.Conflict, "%s of %s is under way, begun by %s %s", as.Journal.Kind(op.Kind).Text, op.Subject, daemon.Who(op.Member), journal.Begun(op.Started)).
		WithHint("rename the app once it has ended")
}

// underWay is an operation on the app, or on an add-on that is its or attached to it.
func (as *Apps) underWay(ctx context.Context, app string) (found daemon.Operation, ok bool, err error) {
	err = as.Store.View(ctx, func(tx daemon.Tx) (err error) {
		found, ok, err = underWayIn(tx, app)
		return err
	})
	return found, ok, err
}

func underWayIn(tx daemon.Tx, app string) (found daemon.Operation, ok bool, err error) {
	ops, err := tx.Operations()
	if err != nil {
		return found, false, err
	}
	addons, err := addonsOf(tx, app)
	if err != nil {
		return found, false, err
	}
	for _, op := range ops {
		if op.Subject == app || slices.Contains(addons, op.Subject) || slices.Contains(journal.AppsOf(op), app) {
			found, ok = op, true
		}
	}
	return found, ok, nil
}

// addonsOf are the add-ons that are the app's, or attached to it, sorted.
func addonsOf(tx daemon.Tx, app string) (names []string, err error) {
	attached, err := tx.Attachments()
	if err != nil {
		return nil, err
	}
	addons, err := tx.Addons()
	if err != nil {
		return nil, err
	}
	for _, at := range attached {
		if at.App == app {
			names = append(names, at.Addon)
		}
	}
	for _, a := range addons {
		if a.App == app {
			names = append(names, a.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
