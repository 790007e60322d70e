package machine

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"towline/daemon"
	"towline/daemon/work"
)

// lockApp takes the lock that every change of an app holds.
func (d *Daemon) lockApp(ctx context.Context, app string, out io.Writer) (unlock func(), err error) {
	return d.Locks.Lock(ctx, "app:"+app, d.tellWaiting(ctx, app, out))
}

// lockAddon takes the lock that every change of an add-on holds, and every backup.
func (d *Daemon) lockAddon(ctx context.Context, addon string, out io.Writer) (unlock func(), err error) {
	return d.Locks.Lock(ctx, "addon:"+addon, d.tellWaiting(ctx, addon, out))
}

type waitsKey struct{}

// TellWaits has what a call waits for said to w, also by those methods that say nothing
// else.
func TellWaits(ctx context.Context, w io.Writer) context.Context {
	return context.WithValue(ctx, waitsKey{}, w)
}

// waitsOf is the writer given to TellWaits, or nil.
func waitsOf(ctx context.Context) io.Writer {
	w, _ := ctx.Value(waitsKey{}).(io.Writer)
	return w
}

// tellWaiting says what a lock is held for, begun by whom and when.
func (d *Daemon) tellWaiting(ctx context.Context, subject string, out io.Writer) func(since time.Time) {
	if out == nil {
		out = waitsOf(ctx)
	}
	if out == nil {
		return nil
	}
	return func(since time.Time) {
		what, by := "another change", ""
		if op, found := d.underWay(ctx, subject); found {
			by, since = " by "+daemon.Who(op.Member), op.Started
			if k, known := d.kinds[op.Kind]; known {
				what = k.text
			}
		}
		work.Stage(out, "Waiting for %s of %s, begun%s %s", what, subject, by, begun(since))
	}
}

// lockPlugins takes the lock of everything that looks at a plugin or changes what there
// are. A check holds it for as long as it runs.
func (d *Daemon) lockPlugins(ctx context.Context) (unlock func(), err error) {
	out := waitsOf(ctx)
	return d.Locks.Lock(ctx, "plugins", func(since time.Time) {
		work.Say(out, " !     Waiting for the check or installation of another plugin, begun %s", begun(since))
	})
}

func begun(since time.Time) string {
	if since.IsZero() {
		return "just now"
	}
	return fmt.Sprintf("%s ago, at %s", time.Since(since).Round(time.Second), since.UTC().Format("15:04:05 MST"))
}

// underWay is the operation that an app's or an add-on's lock is held for, as far as the
// journal has it.
func (d *Daemon) underWay(ctx context.Context, subject string) (found daemon.Operation, ok bool) {
	ops, err := daemon.Read(ctx, d.Store, daemon.Tx.Operations) // oldest first
	if err != nil {
		return daemon.Operation{}, false
	}
	for _, op := range ops {
		if op.Subject != subject && !slices.Contains(appsOf(op), subject) || d.kind(op.Kind).shared {
			continue
		}
		if !d.kind(op.Kind).lingers(op) {
			return op, true
		}
		found, ok = op, true // if there is no other
	}
	return found, ok
}

// appsOf are the apps, other than the subject, whose lock an operation holds.
func appsOf(op daemon.Operation) []string {
	data, err := decode[struct {
		App string `json:"app"`
	}](op)
	if err != nil || data.App == "" {
		return nil
	}
	return []string{data.App}
}
