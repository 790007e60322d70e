package apps

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"towline/daemon"
	"towline/daemon/journal"
)

const opPromote = "promote"

func (rl *Releases) promoteKind() journal.Kind {
	return journal.Kind{Name: opPromote, Text: "a promotion", Of: journal.OfApp, Background: "current",
		Steps:   []string{"image", "release", "release-phase", "start", "swap", "current"}, // after the image those of a release
		Recover: rl.recoverRelease}
}

// promoteData is what a recovery must know of a promotion that was cut short before there was
// a release.
type promoteData struct {
	Image string `json:"image"` // the name that the image has for the app
}

// PromotionSource is the release of an app that a promotion takes along: the current one,
// whose image is kept.
func (rl *Releases) PromotionSource(ctx context.Context, app string) (daemon.Release, daemon.Image, error) {
	rel, err := daemon.Read(ctx, rl.Store, func(tx daemon.Tx) (daemon.Release, error) {
		a, err := daemon.FindApp(tx, app)
		if err != nil || a.Current == 0 {
			return daemon.Release{}, err
		}
		return tx.Release(app, a.Current)
	})
	if err == nil && rel.Image == "" {
		err = daemon.Errorf(daemon.Conflict, "nothing was deployed to %s yet", app).WithHint("git push towline main")
	}
	if err != nil {
		return rel, daemon.Image{}, err
	}
	image, err := rl.Engine.Image(ctx, rel.Image)
	if daemon.IsKind(err, daemon.NotFound) {
		err = daemon.Errorf(daemon.Conflict, "the image of v%d of %s is gone", rel.Version, app).
			WithHint("git commit --allow-empty -m \"build again\", then: git push towline main")
	}
	return rel, image, err
}

// Promote makes a release of an app from another app's: the same image, byte for byte, with
// the app's own config vars, add-ons, domains and counts of processes. Its release phase runs
// with its own config. On any error what served before serves on.
func (rl *Releases) Promote(ctx context.Context, app, member string, source daemon.Release, image daemon.Image, out io.Writer) (daemon.Release, error) {
	unlock, err := rl.Journal.LockApp(ctx, app, out)
	if err != nil {
		return daemon.Release{}, err
	}
	defer unlock()
	if err := rl.beforeRelease(ctx, app, member, out); err != nil {
		return daemon.Release{}, err
	}
	ctx, cancel := rl.Life.Detach(ctx)
	defer cancel()
	rel, err := daemon.Read(ctx, rl.Store, func(tx daemon.Tx) (daemon.Release, error) { return nextRelease(tx, app, member) })
	if err != nil {
		return daemon.Release{}, err
	}
	rel.Image = rl.Containers.ImageName(app, fmt.Sprintf("%s-%d", app, time.Now().UnixNano()))
	rel.Kind, rel.Commit, rel.Processes, rel.Health = source.Kind, source.Commit, source.Processes, source.Health
	rel.Origin = &daemon.Origin{App: source.App, Version: source.Version}
	rel.Description = describePromotion(source)
	event := daemon.Activity{Kind: daemon.Promoted, Member: member, App: app, Subject: source.App, Text: "promoted " + strings.TrimPrefix(rel.Description, "Promote ")}
	op, err := rl.Journal.Begin(ctx, opPromote, app, event, "image", promoteData{rel.Image})
	if err != nil {
		return daemon.Release{}, err
	}
	err = op.Do(ctx, out, func(ctx context.Context) error {
		return gone(source, rl.Engine.TagImage(ctx, image.ID, rel.Image))
	}, func(ctx context.Context) error {
		if err := rl.Engine.UntagImage(ctx, rel.Image); err != nil {
			return err
		}
		return op.Finish(ctx)
	})
	if err != nil {
		return daemon.Release{}, err
	}
	if err := op.Next(ctx, "release", nil, func(tx daemon.Tx) error { return tx.InsertRelease(&rel) }); err != nil {
		return daemon.Release{}, err
	}
	if err := rl.release(ctx, op, &rel, &scripts{}, out); err != nil { // which changes rel
		return rel, err
	}
	rl.lookHome(ctx, rel, out)
	return rel, nil
}

func gone(source daemon.Release, err error) error {
	if !daemon.IsKind(err, daemon.NotFound) {
		return err
	}
	return daemon.Errorf(daemon.Conflict, "the image of v%d of %s is gone", source.Version, source.App).WithHint("towline releases -a %s", source.App)
}

// describePromotion names the release for people, as Heroku does, and what it is about.
func describePromotion(source daemon.Release) string {
	text := fmt.Sprintf("Promote %s v%d", source.App, source.Version)
	if source.Commit != "" {
		text += " " + source.Commit[:min(8, len(source.Commit))]
	}
	if _, about, found := strings.Cut(source.Description, ": "); found && bringsSource(source) {
		text += ": " + about
	}
	return text
}
