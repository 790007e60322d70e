package addons

import (
	"context"
	"errors"
	"io"
	"strings"

	"towline/daemon"
	"towline/daemon/journal"
	"towline/daemon/work"
	"towline/plugins"
)

// While a rotation is under way, the secrets to be, and after the switch those that
// were, lie sealed with the present ones, under names that no manifest can give.
const (
	nextSecret = "next."
	oldSecret  = "old."
)

func marked(secrets map[string]string, mark string) map[string]string {
	out := map[string]string{}
	for name, value := range secrets {
		if name, ok := strings.CutPrefix(name, mark); ok {
			out[name] = value
		}
	}
	return out
}

// WithMarked is a's present secrets and, marked, others beside them.
func WithMarked(secrets map[string]string, mark string, others map[string]string) map[string]string {
	out := map[string]string{}
	for name, value := range secrets {
		if !strings.Contains(name, ".") {
			out[name] = value
		}
	}
	for name, value := range others {
		out[mark+name] = value
	}
	return out
}

const opRotate = "rotate"

func (ats *Attachments) rotateKind() journal.Kind {
	return journal.Kind{Name: opRotate, Text: "a rotation", Of: journal.OfAddon, Releases: true, Background: "retire",
		Steps:   []string{"accept", "release", "undo", "retire"}, // undo instead of the last
		Recover: ats.unlessGone(ats.recoverRotate)}
}

// Rotate gives an add-on new credentials: the service takes both, the apps are
// released with the new ones, and once nothing uses the old ones the service forgets
// them. If an app does not start with them, everything is as before.
func (ats *Attachments) Rotate(ctx context.Context, name, member string, out io.Writer) error {
	unlock, err := ats.lockAttached(ctx, name, out)
	if err != nil {
		return err
	}
	defer unlock()
	addon, err := ats.readyAddon(ctx, name)
	if err != nil {
		return err
	}
	m, err := ats.Service(addon.Service)
	if err != nil {
		return err
	}
	if len(m.Rotate.Command) == 0 {
		return daemon.Errorf(daemon.Conflict, "the plugin of %s does not say how to rotate its credentials", addon.Service)
	}
	if len(marked(addon.Secrets, oldSecret)) > 0 {
		return daemon.Errorf(daemon.Conflict, "processes with the credentials before the present ones still run").
			WithHint("try again once they have stopped, within a minute or so")
	}
	ctx, cancel := ats.Life.Detach(ctx)
	defer cancel()
	present := WithMarked(addon.Secrets, "", nil)
	addon.Secrets = WithMarked(present, nextSecret, m.Rotated(present))
	event := daemon.Activity{Kind: daemon.AddonRotated, Member: member, App: addon.App, Subject: name, Text: "rotated the credentials of the add-on " + name}
	op, err := ats.Journal.Begin(ctx, opRotate, name, event, "accept", nil, func(tx daemon.Tx) error { return tx.UpdateAddon(addon) })
	if err != nil {
		return err
	}
	work.Stage(out, "Giving %s new credentials", name)
	err = op.Do(ctx, out,
		func(ctx context.Context) error { return ats.acceptNext(ctx, op, addon, out) },
		func(ctx context.Context) error { return ats.undoRotate(ctx, op, out) })
	if err != nil {
		return err
	}
	if err := op.Next(ctx, "retire", nil, op.Done); err != nil {
		return err
	}
	work.Stage(out, "The old ones go with the last process that has them")
	ats.persist(op, "forgetting old credentials", ats.retireOld)
	return nil
}

// acceptNext has the service take the next secrets, makes them the present ones, and
// releases the apps with them.
func (ats *Attachments) acceptNext(ctx context.Context, op *journal.Operation, addon daemon.Addon, out io.Writer) error {
	present, next := WithMarked(addon.Secrets, "", nil), marked(addon.Secrets, nextSecret)
	spec, err := ats.RenderRotation(addon, present, next)
	if err != nil {
		return err
	}
	if _, err := ats.services.Exec(ctx, ats.services.ContainerName(addon), spec.Rotate); err != nil {
		return daemon.Errorf(daemon.Failed, "%s did not take new credentials: %w", addon.Name, err).WithHint("towline addons:logs %s", addon.Name)
	}
	addon.Secrets = WithMarked(next, oldSecret, present)
	if err := ats.switchSecrets(ctx, op, "release", addon); err != nil {
		return err
	}
	return ats.releaseSecrets(ctx, op, addon, out)
}

// RenderRotation renders the actions that lead from one set of secrets to another.
func (ats *Attachments) RenderRotation(addon daemon.Addon, from, to map[string]string) (plugins.Spec, error) {
	m, err := ats.Service(addon.Service)
	if err != nil {
		return plugins.Spec{}, err
	}
	i := instance(addon)
	i.Secrets, i.Next = from, to
	return m.Render(i)
}

// switchSecrets records the next step together with the add-on's secrets, which from then
// on are in its apps' config vars.
func (ats *Attachments) switchSecrets(ctx context.Context, op *journal.Operation, step string, addon daemon.Addon) error {
	spec, err := ats.services.Render(addon)
	if err != nil {
		return err
	}
	attached, err := ats.Attachments(ctx, addon.Name)
	if err != nil {
		return err
	}
	return op.Next(ctx, step, nil, func(tx daemon.Tx) error {
		err := tx.UpdateAddon(addon)
		for _, at := range attached {
			err = errors.Join(err, setVars(tx, at.App, varsOf(spec, at)))
		}
		return err
	})
}

// releaseSecrets writes the add-on's files anew, for the next start of its container, and
// releases its apps.
func (ats *Attachments) releaseSecrets(ctx context.Context, op *journal.Operation, addon daemon.Addon, out io.Writer) error {
	spec, err := ats.services.Render(addon)
	if err != nil {
		return err
	}
	attached, err := ats.Attachments(ctx, addon.Name)
	if err != nil {
		return err
	}
	if err := ats.services.WriteFiles(addon, spec); err != nil {
		return err
	}
	for _, at := range attached {
		if err := ats.releaseAttached(ctx, op, at.App, "Rotate credentials of "+addon.Name, out); err != nil {
			return err
		}
	}
	return nil
}

// retireOld waits until no process with the old credentials is left, then has the
// service forget them.
func (ats *Attachments) retireOld(ctx context.Context, op *journal.Operation) error {
	attached, err := ats.Attachments(ctx, op.Subject)
	if err != nil {
		return err
	}
	versions := map[string]int{}
	for _, at := range attached {
		app, err := ats.Apps.App(ctx, at.App)
		if err != nil {
			return err
		}
		versions[at.App] = app.Current
	}
	return ats.onceRetired(ctx, op, versions, func(addon daemon.Addon) error { return ats.retireLocked(ctx, op, addon) })
}

func (ats *Attachments) retireLocked(ctx context.Context, op *journal.Operation, addon daemon.Addon) error {
	present, old := WithMarked(addon.Secrets, "", nil), marked(addon.Secrets, oldSecret)
	spec, err := ats.RenderRotation(addon, old, present)
	if err != nil {
		return err
	}
	if len(spec.Retire.Command) > 0 && len(old) > 0 {
		if _, err := ats.services.Exec(ctx, ats.services.ContainerName(addon), spec.Retire); err != nil {
			return err
		}
	}
	addon.Secrets = present
	return op.Finish(ctx, func(tx daemon.Tx) error {
		return tx.UpdateAddon(addon)
	})
}

// undoRotate brings the credentials of before back: to the apps that have others, at the
// step "undo", and to the service, which may have taken the new ones or not.
func (ats *Attachments) undoRotate(ctx context.Context, op *journal.Operation, out io.Writer) error {
	addon, err := ats.Addon(ctx, op.Subject)
	if err != nil {
		return err
	}
	present, next, old := WithMarked(addon.Secrets, "", nil), marked(addon.Secrets, nextSecret), marked(addon.Secrets, oldSecret)
	if len(old) > 0 { // switched already
		present, next = old, present
		addon.Secrets = WithMarked(present, nextSecret, next)
		if err := ats.switchSecrets(ctx, op, "undo", addon); err != nil {
			return err
		}
	}
	if op.Step == "undo" {
		if err = ats.releaseSecrets(ctx, op, addon, out); daemon.IsAway(err) {
			return err
		}
	}
	spec, rerr := ats.RenderRotation(addon, next, present)
	if rerr != nil {
		return errors.Join(err, rerr)
	}
	action := spec.Retire
	if len(action.Command) == 0 {
		action = spec.Rotate
	}
	xerr := work.Thrice(ctx, func() error {
		_, err := ats.services.Exec(ctx, ats.services.ContainerName(addon), action)
		return err
	})
	if daemon.IsAway(xerr) {
		return errors.Join(err, xerr)
	} else if xerr != nil {
		ats.Log.Warn("take new credentials back", "addon", addon.Name, "err", xerr)
	}
	addon.Secrets = present
	return errors.Join(err, op.Finish(ctx, func(tx daemon.Tx) error { return tx.UpdateAddon(addon) }))
}

// recoverRotate: before the switch the old credentials stay, after it the new ones.
func (ats *Attachments) recoverRotate(ctx context.Context, op *journal.Operation) error {
	addon, err := ats.Addon(ctx, op.Subject)
	if err != nil {
		return err
	}
	if err := ats.services.StartContainer(ctx, addon, nil); err != nil {
		return err
	}
	if op.Step == "accept" || op.Step == "undo" {
		return ats.undoRotate(ctx, op, nil)
	}
	if op.Step == "release" {
		if err := ats.releaseSecrets(ctx, op, addon, nil); err != nil {
			return errors.Join(err, ats.undoRotate(ctx, op, nil))
		}
		if err := op.Next(ctx, "retire", nil, op.Done); err != nil {
			return err
		}
	}
	ats.persist(op, "forgetting old credentials", ats.retireOld)
	return nil
}
