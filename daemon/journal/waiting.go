package journal

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"towline/daemon"
	"towline/daemon/work"
)

// LockApp takes the lock that every change of an app holds.
func (j *Journal) LockApp(ctx context.Context, app string, out io.Writer) (unlock func(), err error) {
	return j.Locks.Lock(ctx, "app:"+app, j.tellWaiting(ctx, app, out))
}

// LockAddon takes the lock that every change of an add-on holds, and every backup.
func (j *Journal) LockAddon(ctx context.Context, addon string, out io.Writer) (unlock func(), err error) {
	return j.Locks.Lock(ctx, "addon:"+addon, j.tellWaiting(ctx, addon, out))
}

type waitsKey struct{}

// TellWaits has what a call waits for said to w, also by those methods that say nothing
// else.
func TellWaits(ctx context.Context, w io.Writer) context.Context {
	return context.WithValue(ctx, waitsKey{}, w)
}

// WaitsOf is the writer given to TellWaits, or nil.
func WaitsOf(ctx context.Context) io.Writer {
	w, _ := ctx.Value(waitsKey{}).(io.Writer)
	return w
}

// tellWaiting says what a lock is held for, begun by whom and when.
func (j *Journal) tellWaiting(ctx context.Context, subject string, out io.Writer) func(since time.Time) {
	if out == nil {
		out = WaitsOf(ctx)
	}
	if out == nil {
		return nil
	}
	return func(since time.Time) {
		what, by := "another change", ""
		if op, found := j.underWay(ctx, subject); found {
			by, since = " by "+daemon.Who(op.Member), op.Started
			if k, known := j.kinds[op.Kind]; known {
				what = k.Text
			}
		}
		work.Stage(out, "Waiting for %s of %s, begun%s %s", what, subject, by, Begun(since))
	}
}

func Begun(since time.Time) string {
	if since.IsZero() {
		return "just now"
	}
	return fmt.Sprintf("%s ago, at %s", time.Since(since).Round(time.Second), since.UTC().Format("15:04:05 MST"))
}

// underWay is the operation that an app's or an add-on's lock is held for, as far as the
// journal has it.
func (j *Journal) underWay(ctx context.Context, subject string) (found daemon.Operation, ok bool) {
	ops, err := daemon.Read(ctx, j.Store, daemon.Tx.Operations) // oldest first
	if err != nil {
		return daemon.Operation{}, false
	}
	for _, op := range ops {
		if op.Subject != subject && !slices.Contains(AppsOf(op), subject) || j.Kind(op.Kind).Shared {
			continue
		}
		if !j.Kind(op.Kind).lingers(op) {
			return op, true
		}
		found, ok = op, true // if there is no other
	}
	return found, ok
}

// AppsOf are the apps, other than the subject, whose lock an operation holds.
func AppsOf(op daemon.Operation) []string {
	data, err := Decode[struct {
		App string `json:"app"`
	}](op)
	if err != nil || data.App == "" {
		return nil
	}
	return []string{data.App}
}

// LockApps takes the locks of several apps, in the order given.
func (j *Journal) LockApps(ctx context.Context, apps []string, out io.Writer) (unlock func(), err error) {
	return lockEach(apps, func(app string) (func(), error) { return j.LockApp(ctx, app, out) })
}

func lockEach(names []string, lock func(name string) (func(), error)) (unlock func(), err error) {
	var unlocks []func()
	unlock = func() {
		for _, u := range slices.Backward(unlocks) {
			u()
		}
	}
	for _, name := range names {
		u, err := lock(name)
		if err != nil {
			unlock()
			return nil, err
		}
		unlocks = append(unlocks, u)
	}
	return unlock, nil
}

// LockAddons takes the locks of several add-ons, in the order given.
func (j *Journal) LockAddons(ctx context.Context, addons []string, out io.Writer) (unlock func(), err error) {
	return lockEach(addons, func(addon string) (func(), error) { return j.LockAddon(ctx, addon, out) })
}

// LockAll takes the locks of apps, then that of an add-on.
func (j *Journal) LockAll(ctx context.Context, apps []string, addon string, out io.Writer) (unlock func(), err error) {
	unlockApps, err := j.LockApps(ctx, apps, out)
	if err != nil {
		return nil, err
	}
	unlockAddon, err := j.LockAddon(ctx, addon, out)
	if err != nil {
		unlockApps()
		return nil, err
	}
	return func() { unlockAddon(); unlockApps() }, nil
}

// LockInput has the uploads for an app or add-on come one by one: each takes room.
func (j *Journal) LockInput(ctx context.Context, subject string, out io.Writer) (unlock func(), err error) {
	return j.Locks.Lock(ctx, "input:"+subject, func(since time.Time) {
		work.Say(out, " !     Waiting for another upload for %s, begun %s", subject, Begun(since))
	})
}
