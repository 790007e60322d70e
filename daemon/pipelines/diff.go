package pipelines

import (
	"context"
	"errors"
	"slices"

	"towline/daemon"
	"towline/daemon/people"
)

// Diff is what one app has and another has not.
type Diff struct {
	From    string `json:"from"`
	To      string `json:"to"`
	Release int    `json:"from_release"`
	Serves  int    `json:"to_release"`
	// Commits are those of From that To lacks, the newest first, of which there are Ahead.
	Commits []daemon.Commit `json:"commits"`
	Ahead   int             `json:"ahead"`
	// Behind is how many commits To has that From lacks.
	Behind int `json:"behind"`
	// Unknown says why the commits can't be compared; empty: they are.
	Unknown string `json:"unknown,omitempty"`
	// Names alone: what config vars, services of add-ons and process types one side lacks.
	Config    Sides `json:"config"`
	Addons    Sides `json:"addons"`
	Processes Sides `json:"processes"`
}

// Sides are names that one side alone has.
type Sides struct {
	From []string `json:"only_from"`
	To   []string `json:"only_to"`
}

// maxCommits is how many commits are listed.
const maxCommits = 50

// Diff compares an app with one that it would be promoted to, both of which the member may view.
func (ps *Pipelines) Diff(ctx context.Context, member, app, to string) (d Diff, err error) {
	d = Diff{From: app, To: to}
	var from, target daemon.Release
	var repositories []string
	err = ps.Store.View(ctx, func(tx daemon.Tx) error {
		a, fromAddons, fromRelease, err := sideOf(tx, app)
		b, toAddons, toRelease, terr := sideOf(tx, to)
		if err := errors.Join(err, terr); err != nil {
			return err
		}
		from, target = fromRelease, toRelease
		d.Release, d.Serves = from.Version, target.Version
		d.Config, d.Addons = sides(a, b), sides(fromAddons, toAddons)
		d.Processes = sides(daemon.SortedKeys(from.Processes), daemon.SortedKeys(target.Processes))
		repositories, err = sources(tx, member, from, target)
		return err
	})
	if err != nil {
		return d, err
	}
	err = ps.compare(ctx, &d, from.Commit, target.Commit, repositories)
	return d, err
}

// sources are the apps whose repositories may have the commits of two releases: the apps
// themselves, and those that the releases were promoted from, if the member may view and so clone
// these.
func sources(tx daemon.Tx, member string, releases ...daemon.Release) (names []string, err error) {
	for _, rel := range releases {
		if rel.App != "" {
			names = append(names, rel.App)
		}
	}
	for _, rel := range releases {
		if rel.Origin == nil || slices.Contains(names, rel.Origin.App) {
			continue
		}
		if _, err := tx.App(rel.Origin.App); daemon.IsKind(err, daemon.NotFound) {
			continue
		} else if err != nil {
			return nil, err
		}
		ok, err := people.May(tx, member, rel.Origin.App, daemon.View)
		if err != nil {
			return nil, err
		}
		if ok {
			names = append(names, rel.Origin.App)
		}
	}
	return names, nil
}

// sideOf is what an app has: config vars that are its own, services of its add-ons, and its
// current release.
func sideOf(tx daemon.Tx, app string) (config, addons []string, rel daemon.Release, err error) {
	a, err := daemon.FindApp(tx, app)
	if err != nil {
		return nil, nil, rel, err
	}
	attached, err := tx.Attachments()
	if err != nil {
		return nil, nil, rel, err
	}
	theirs := map[string]bool{}
	for _, at := range attached {
		if at.App != app {
			continue
		}
		for _, key := range at.Vars {
			theirs[key] = true
		}
		addon, err := tx.Addon(at.Addon)
		if err != nil {
			return nil, nil, rel, err
		}
		addons = append(addons, addon.Service)
	}
	for _, key := range daemon.SortedKeys(a.Config) {
		if !theirs[key] {
			config = append(config, key)
		}
	}
	slices.Sort(addons)
	if a.Current > 0 {
		rel, err = tx.Release(app, a.Current)
	}
	return config, slices.Compact(addons), rel, err
}

// sides compares two sorted lists.
func sides(a, b []string) Sides {
	only := func(a, b []string) []string {
		return slices.DeleteFunc(append([]string{}, a...), func(name string) bool { return slices.Contains(b, name) })
	}
	return Sides{only(a, b), only(b, a)}
}

// compare counts the commits between what two apps serve, by the first repository that has both.
func (ps *Pipelines) compare(ctx context.Context, d *Diff, from, to string, repositories []string) error {
	d.Commits = []daemon.Commit{}
	switch {
	case from == "":
		d.Unknown = "what " + d.From + " serves was not pushed"
		return nil
	case to == "":
		d.Unknown = "what " + d.To + " serves was not pushed"
		return nil
	case from == to:
		return nil
	}
	for _, app := range repositories {
		commits, ahead, err := ps.Repositories.Commits(ctx, app, to, from, maxCommits)
		if daemon.IsKind(err, daemon.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		d.Ahead, d.Commits = ahead, append(d.Commits, commits...)
		_, d.Behind, err = ps.Repositories.Commits(ctx, app, from, to, 0)
		return err
	}
	d.Unknown = "no repository that you may see has the commits of both"
	return nil
}
