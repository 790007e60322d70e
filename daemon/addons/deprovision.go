package addons

import (
	"context"
	"errors"
	"io"
	"slices"

	"towline/daemon"
	"towline/daemon/journal"
	"towline/daemon/work"
)

const opDeprovision = "deprovision"

func (ad *Addons) deprovisionKind() journal.Kind {
	return journal.Kind{Name: opDeprovision, Text: "the destruction", Of: journal.OfAddon, Releases: true,
		Steps: []string{"detach", "undo", "remove"}, Recover: ad.recoverDeprovision}
}

// DeprovisionRequest asks that an add-on be destroyed with its data.
type DeprovisionRequest struct {
	Addon, Member string
	Force         bool // even if an app does not start without it
}

// deprovisionData is what a recovery must know of a destruction that was cut short. One that an
// earlier version began has none, and goes on whatever happens.
type deprovisionData struct {
	Careful  bool                     `json:"careful,omitempty"`
	Attached []daemon.AddonAttachment `json:"attached,omitempty"` // when it began
}

// Deprovision destroys an add-on with its data: first every app attached to it is
// released without its config vars, then the service goes. If an app does not start without
// them, all stays as it was, unless that is forced.
func (ad *Addons) Deprovision(ctx context.Context, req DeprovisionRequest, out io.Writer) error {
	name := req.Addon
	if _, err := ad.Addon(ctx, name); err != nil {
		return err
	}
	unlock, err := ad.attachments.lockAttached(ctx, name, out)
	if err != nil {
		return err
	}
	defer unlock()
	addon, err := ad.Addon(ctx, name) // again: it may have gone while waiting
	if err != nil {
		return err
	}
	attached, err := ad.Attachments(ctx, name)
	if err != nil {
		return err
	}
	ctx, cancel := ad.Life.Detach(ctx)
	defer cancel()
	addon.Status = daemon.AddonDestroying
	data := deprovisionData{Careful: !req.Force, Attached: attached}
	event := daemon.Activity{Kind: daemon.AddonDestroyed, Member: req.Member, App: addon.App, Subject: name, Text: "destroyed the add-on " + name}
	op, err := ad.Journal.Begin(ctx, opDeprovision, name, event, "detach", data, func(tx daemon.Tx) error { return tx.UpdateAddon(addon) })
	if err != nil {
		return err
	}
	if err := ad.detachAll(ctx, op, attached, data, out); err != nil {
		return err
	}
	if err := op.Next(ctx, "remove", nil); err != nil {
		return err
	}
	work.Stage(out, "Removing %s and its data", name)
	return ad.Life.Outlast(ctx, out, func(ctx context.Context) error { return ad.removeAddon(ctx, op, name) })
}

// detachAll takes an add-on's config vars from the apps that have them. When it fails all of them
// have them again, and the operation has ended.
func (ad *Addons) detachAll(ctx context.Context, op *journal.Operation, attached []daemon.AddonAttachment, data deprovisionData, out io.Writer) error {
	for _, at := range attached {
		err := ad.detachAddon(ctx, at, op.Member, out)
		switch {
		case err == nil:
		case errors.Is(context.Cause(ctx), daemon.ErrClosing):
			return daemon.ErrClosing
		case data.Careful:
			refused := daemon.Errorf(daemon.Failed, "%w", err).
				WithHint("%s and its data stay, with its config vars. To destroy it all the same: towline addons:destroy %[1]s --force --confirm %[1]s", op.Subject)
			return errors.Join(refused, ad.Life.Outlast(ctx, out, func(ctx context.Context) error { return ad.undoDeprovision(ctx, op, data, out) }))
		default:
			work.Warn(out, "%v", err)
		}
	}
	return nil
}

// undoDeprovision gives an add-on back to the apps that it was taken from.
func (ad *Addons) undoDeprovision(ctx context.Context, op *journal.Operation, data deprovisionData, out io.Writer) error {
	addon, err := ad.Addon(ctx, op.Subject)
	if err != nil {
		return err
	}
	have, err := ad.Attachments(ctx, op.Subject)
	if err != nil {
		return err
	}
	addon.Status = daemon.AddonReady
	err = op.Next(ctx, "undo", nil, func(tx daemon.Tx) error {
		for _, at := range data.Attached {
			if slices.ContainsFunc(have, func(h daemon.AddonAttachment) bool { return h.App == at.App }) {
				continue
			}
			if err := ad.recordAttachment(tx, addon, at); err != nil {
				return err
			}
		}
		return tx.UpdateAddon(addon)
	})
	if err != nil {
		return err
	}
	for _, at := range data.Attached {
		if err := ad.releaseAgain(ctx, op, at, out); err != nil {
			return err
		}
	}
	return op.Finish(ctx)
}

// releaseAgain gives an app the config vars that are stored, unless its release has them. One that
// does not start is told: the release that served serves on.
func (ad *Addons) releaseAgain(ctx context.Context, op *journal.Operation, at daemon.AddonAttachment, out io.Writer) error {
	rel, err := ad.Apps.Release(ctx, at.App, 0)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(at.Vars, func(v string) bool { _, has := rel.Config[v]; return !has }) {
		return nil
	}
	_, err = ad.Releases.ChangeLocked(ctx, at.App, op.Member, out, func(_ daemon.Tx, rel *daemon.Release) error {
		rel.Description = "Attach " + at.Addon
		return nil
	})
	if daemon.IsAway(err) || errors.Is(context.Cause(ctx), daemon.ErrClosing) {
		return err
	}
	if err != nil {
		work.Warn(out, "%s did not start with %s again: %v", at.App, at.Addon, err)
		ad.Log.Error("attach again", "addon", at.Addon, "app", at.App, "err", err)
	}
	return nil
}

// detachAddon takes an add-on's config vars from one app. They go even if the app
// does not start without them: the service goes too.
func (ad *Addons) detachAddon(ctx context.Context, at daemon.AddonAttachment, member string, out io.Writer) error {
	if err := ad.Store.Update(ctx, func(tx daemon.Tx) error { return ForgetAttachment(tx, at) }); err != nil {
		return err
	}
	// Who opened its page may have no other right to it than by this app.
	if err := ad.pages.closePage(ctx, at.Addon); err != nil {
		return err
	}
	_, err := ad.Releases.ChangeLocked(ctx, at.App, member, out, func(_ daemon.Tx, rel *daemon.Release) error {
		rel.Description = "Detach " + at.Addon
		return nil
	})
	if err != nil {
		return daemon.Errorf(daemon.Failed, "%s did not start without %s: %w", at.App, at.Addon, err)
	}
	return nil
}

// BeforeRemoval removes what there is of an add-on beside its service and its record, which
// go afterwards. It may have done so before.
type BeforeRemoval interface {
	BeforeRemoval(ctx context.Context, addon string) error
}

// OnRemoval has b called before each add-on's record goes. It is for those who wire.
func (ad *Addons) OnRemoval(b BeforeRemoval) { ad.before = b }

// removeAddon removes the service with its data, then its record. Every part may have
// been done before.
func (ad *Addons) removeAddon(ctx context.Context, op *journal.Operation, name string) error {
	if err := ad.pages.closePage(ctx, name); err != nil {
		return err
	}
	if err := ad.services.RemoveService(ctx, name); err != nil {
		return err
	}
	if err := ad.before.BeforeRemoval(ctx, name); err != nil {
		return err
	}
	defer ad.People.RightsChanged(ctx) // nobody's session goes on with a later add-on of this name
	return op.Finish(ctx, func(tx daemon.Tx) error {
		if err := tx.DeleteAddon(name); err != nil && !daemon.IsKind(err, daemon.NotFound) {
			return err
		}
		if err := op.EndOthers(tx, journal.OfAddon); err != nil || op.Kind != opDeprovision {
			return err
		}
		return op.Done(tx)
	})
}

// recoverDeprovision goes on, to the end or, if an app does not start, back.
func (ad *Addons) recoverDeprovision(ctx context.Context, op *journal.Operation) error {
	data, err := journal.Decode[deprovisionData](op.Operation)
	if err != nil {
		return err
	}
	switch op.Step {
	case "undo":
		return ad.undoDeprovision(ctx, op, data, nil)
	case "detach":
		attached, err := ad.Attachments(ctx, op.Subject)
		if err != nil {
			return err
		}
		if err := ad.detachAll(ctx, op, attached, data, nil); err != nil {
			return err
		}
	}
	return ad.removeAddon(ctx, op, op.Subject)
}
