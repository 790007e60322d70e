package apps

import (
	"context"
	"fmt"
	"io"
	"maps"
	"strings"

	"towline/daemon"
	"towline/daemon/work"
)

// Retry makes a new release from the source of an earlier one, with the present
// config: what git push can't do, for which the commit is up-to-date already, after
// a rollback. Version 0 is the newest release that brought source. Of a release
// that failed though its source serves, a config change, the config is tried again.
func (rl *Releases) Retry(ctx context.Context, app, member string, version int, out io.Writer) (daemon.Release, error) {
	a, releases, err := rl.history(ctx, app)
	if err != nil {
		return daemon.Release{}, err
	}
	target, err := retryTarget(a, releases, version)
	if err == nil && !bringsSource(target) {
		err = checkConfig(target)
	}
	if err != nil {
		return daemon.Release{}, err
	}
	_, err = rl.Engine.Image(ctx, target.Image)
	if daemon.IsKind(err, daemon.NotFound) {
		err = daemon.Errorf(daemon.Conflict, "the image of v%d is no longer kept", target.Version).WithHint("%s", hintPushAgain)
	}
	if err != nil {
		return daemon.Release{}, err
	}
	work.Stage(out, "Deploying v%d again", target.Version)
	event := daemon.Activity{Kind: daemon.Retried, Member: member, App: app, Text: fmt.Sprintf("deployed v%d once more", target.Version)}
	return rl.change(ctx, event, out, retryOf(target))
}

const hintPushAgain = "git commit --allow-empty -m \"deploy again\", then: git push towline main"

// retryTarget chooses among an app's releases, newest first.
func retryTarget(app daemon.App, releases []daemon.Release, version int) (daemon.Release, error) {
	var current, target daemon.Release
	for _, r := range releases {
		if r.Version == app.Current {
			current = r
		}
		if target.Version == 0 && (r.Version == version || version == 0 && bringsSource(r)) {
			target = r
		}
	}
	switch {
	case target.Version == 0 && version == 0:
		return target, daemon.Errorf(daemon.Conflict, "nothing was deployed to %s yet", app.Name).WithHint("git push towline main")
	case target.Version == 0:
		return target, daemon.Errorf(daemon.NotFound, "%s has no release v%d", app.Name, version).WithHint("towline releases -a %s", app.Name)
	case target.Status == daemon.ReleaseFailed && target.Image == "":
		return target, daemon.Errorf(daemon.Conflict, "v%d failed, and what it was built into is not kept", target.Version).
			WithHint("the branch is not there either, so push it once more: git push towline main")
	case target.Status == daemon.ReleasePending:
		return target, daemon.Errorf(daemon.Conflict, "v%d is being released", target.Version).WithHint("towline releases -a %s", app.Name)
	case target.Image == "" && target.Kind != "":
		return target, daemon.Errorf(daemon.Conflict, "the image of v%d is no longer kept", target.Version).WithHint("%s", hintPushAgain)
	case target.Image == "":
		return target, daemon.Errorf(daemon.Conflict, "v%d has no image: it was made before the first deploy", target.Version).WithHint("git push towline main")
	case target.Status == daemon.ReleaseGood && target.Image == current.Image:
		return target, daemon.Errorf(daemon.Conflict, "the source of v%d serves already, as v%d", target.Version, current.Version).
			WithHint("towline ps:restart -a %s starts its processes anew", app.Name)
	}
	return target, nil
}

// bringsSource tells a release that was pushed, promoted, or sent as an archive, from one
// that changes config or goes back.
func bringsSource(r daemon.Release) bool {
	return strings.HasPrefix(r.Description, "Deploy ") || strings.HasPrefix(r.Description, "Promote ")
}

// retryOf makes a copy of the current release one of an earlier release's source.
func retryOf(target daemon.Release) func(daemon.Tx, *daemon.Release) error {
	return func(tx daemon.Tx, rel *daemon.Release) error {
		present := rel.Config
		if err := RollbackTo(target)(tx, rel); err != nil {
			return err
		}
		rel.Description = fmt.Sprintf("Retry v%d: %s", target.Version, strings.TrimSuffix(target.Description, "."))
		if bringsSource(target) {
			rel.Config = maps.Clone(present)
			rel.Description = again(target.Description)
		}
		return nil
	}
}

// again marks a description like "Deploy 1a2b3c4d: what it is about", once.
func again(description string) string {
	what, about, found := strings.Cut(description, ": ")
	what = strings.TrimSuffix(what, " again") + " again"
	if found {
		what += ": " + about
	}
	return what
}

// LeftBehind is the newest release that brought source, if the current one has other
// source: a push of the same commit would deploy nothing. Otherwise its Version is 0.
func (rl *Releases) LeftBehind(ctx context.Context, app string) (daemon.Release, error) {
	a, releases, err := rl.history(ctx, app)
	if err != nil {
		return daemon.Release{}, err
	}
	target, err := retryTarget(a, releases, 0)
	if daemon.IsKind(err, daemon.Conflict) {
		return daemon.Release{}, nil
	}
	return target, err
}
