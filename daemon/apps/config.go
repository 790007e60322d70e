package apps

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"towline/daemon"
	"towline/daemon/appjson"
)

const (
	maxConfigValue = 64 << 10
	maxConfig      = 256 << 10 // of all of an app's config vars, names and values
)

// Config returns an app's config vars.
func (rl *Releases) Config(ctx context.Context, app string) (map[string]string, error) {
	a, err := rl.App(ctx, app)
	return a.Config, err
}

// ConfigChange sets and unsets config vars, all at once.
type ConfigChange struct {
	App, Member string
	Set         map[string]string
	Unset       []string
	NoRestart   bool // processes that run keep the old values until they are replaced
}

// applied returns what config is after the change.
func (c ConfigChange) applied(config map[string]string) map[string]string {
	after := maps.Clone(config)
	if after == nil {
		after = map[string]string{}
	}
	maps.Copy(after, c.Set)
	for _, key := range c.Unset {
		delete(after, key)
	}
	return after
}

// checkConfigSize bounds what every release keeps and every process is started with: the
// kernel takes no more than 2 MB. What is above the bound already may shrink.
func checkConfigSize(before, after map[string]string) error {
	size := func(config map[string]string) (n int) {
		for key, value := range config {
			n += len(key) + len(value) + 2 // as KEY=value and a NUL
		}
		return n
	}
	n := size(after)
	if n <= maxConfig || n <= size(before) {
		return nil
	}
	return daemon.Errorf(daemon.Invalid, "the app's config vars would be %d bytes long together; at most %d are allowed", n, maxConfig).
		WithHint("keep large values in a file of the source, or in an add-on")
}

// SetConfig checks the whole change, then makes it a release. Where nothing would
// change there is none, and the current release is returned. If the new release
// doesn't serve, the old values stay.
func (rl *Releases) SetConfig(ctx context.Context, c ConfigChange, out io.Writer) (daemon.Release, error) {
	app, err := rl.App(ctx, c.App)
	if err != nil {
		return daemon.Release{}, err
	}
	if err := rl.checkConfigChange(ctx, c, app); err != nil {
		return daemon.Release{}, err
	}
	if !changes(app.Config, c) {
		return rl.Release(ctx, c.App, 0)
	}
	edit := func(_ daemon.Tx, rel *daemon.Release) error {
		before := rel.Config
		rel.Config = c.applied(before)
		rel.Description = describeConfig(c)
		return checkConfigSize(before, rel.Config)
	}
	event := configEvent(c, app.Config)
	if !c.NoRestart {
		return rl.change(ctx, event, out, edit)
	}
	unlock, err := rl.Journal.LockApp(ctx, c.App, out)
	if err != nil {
		return daemon.Release{}, err
	}
	defer unlock()
	var rel daemon.Release
	err = rl.Store.Update(ctx, func(tx daemon.Tx) error {
		if rel, err = nextRelease(tx, c.App, c.Member); err != nil {
			return err
		}
		rel.Status = daemon.ReleaseGood
		if err := edit(tx, &rel); err != nil {
			return err
		}
		if err := tx.InsertRelease(&rel); err != nil {
			return err
		}
		return errors.Join(makeCurrent(tx, rel), recordRelease(tx, event, rel))
	})
	return rel, err
}

func (rl *Releases) checkConfigChange(ctx context.Context, c ConfigChange, app daemon.App) error {
	for _, key := range daemon.SortedKeys(c.Set) {
		if err := daemon.CheckConfigKey(key); err != nil {
			return err
		}
		if key == portVar {
			if err := checkPort(c.Set[key], app); err != nil {
				return err
			}
		}
		if err := checkConfigValue(key, c.Set[key]); err != nil {
			return err
		}
	}
	if err := checkConfigSize(app.Config, c.applied(app.Config)); err != nil {
		return err
	}
	owner, err := rl.AddonVars(ctx, c.App)
	if err != nil {
		return err
	}
	for _, key := range c.Unset {
		if _, ok := app.Config[key]; !ok {
			if err := daemon.CheckConfigKey(key); err != nil {
				return err
			}
			return daemon.Errorf(daemon.NotFound, "%s has no config var %s", c.App, daemon.Clip(key)).WithHint("towline config -a %s", c.App)
		}
	}
	for _, key := range append(daemon.SortedKeys(c.Set), c.Unset...) {
		if addon := owner[key]; addon != "" {
			return daemon.Errorf(daemon.Conflict, "config var %s belongs to the add-on %s", key, addon).
				WithHint("towline addons:detach %s -a %s takes the add-on and its config vars from the app; its data stays", addon, c.App)
		}
	}
	return nil
}

func checkConfigValue(key, value string) error {
	switch {
	case len(value) > maxConfigValue:
		return daemon.Errorf(daemon.Invalid, "the value of %s is %d bytes long; at most %d are allowed", key, len(value), maxConfigValue)
	case strings.ContainsRune(value, 0):
		return daemon.Errorf(daemon.Invalid, "the value of %s has a NUL byte in it", key)
	case !utf8.ValidString(value):
		return daemon.Errorf(daemon.Invalid, "the value of %s is not text in UTF-8", key).WithHint("encode it, as base64 for instance")
	}
	return nil
}

// ChangeTests checks a change of the config vars of an app's test runs, and returns what they are after it.
func (c ConfigChange) ChangeTests(before map[string]string) (map[string]string, error) {
	for _, key := range daemon.SortedKeys(c.Set) {
		if err := errors.Join(daemon.CheckConfigKey(key), checkConfigValue(key, c.Set[key])); err != nil {
			return nil, err
		}
		if appjson.OfTestRuns(key) {
			return nil, daemon.Errorf(daemon.Invalid, "%s is set by test runs themselves", key).WithHint("choose another name")
		}
	}
	for _, key := range c.Unset {
		if _, ok := before[key]; !ok {
			return nil, daemon.Errorf(daemon.NotFound, "the tests of %s have no config var %s", c.App, daemon.Clip(key)).WithHint("towline ci:config -a %s", c.App)
		}
	}
	after := c.applied(before)
	return after, checkConfigSize(before, after)
}

func changes(config map[string]string, c ConfigChange) bool {
	for key, value := range c.Set {
		if old, ok := config[key]; !ok || old != value {
			return true
		}
	}
	return len(c.Unset) > 0
}

// configEvent has the names of what is changed.
func configEvent(c ConfigChange, before map[string]string) daemon.Activity {
	event := daemon.Activity{Time: daemon.Now(), Kind: daemon.ConfigSet, Member: c.Member, App: c.App, Names: daemon.SortedKeys(c.Set), Text: lowerFirst(describeConfig(c))}
	if len(c.Set) == 0 {
		event.Kind, event.Names = daemon.ConfigUnset, slices.Sorted(slices.Values(c.Unset))
		return event
	}
	isNew := func(key string) bool { _, had := before[key]; return !had }
	if !slices.ContainsFunc(event.Names, func(key string) bool { return !isNew(key) }) {
		event.Undo = "config:unset " + strings.Join(event.Names, " ")
	}
	return event
}

// ReadConfig returns an app's config vars, of all names or of those given, and records that the
// member was shown them. One that is absent is left out.
func (rl *Releases) ReadConfig(ctx context.Context, app, member string, names ...string) (map[string]string, error) {
	vars := map[string]string{}
	err := rl.Store.Update(ctx, func(tx daemon.Tx) error {
		a, err := daemon.FindApp(tx, app)
		if err != nil {
			return err
		}
		for key, value := range a.Config {
			if len(names) == 0 || slices.Contains(names, key) {
				vars[key] = value
			}
		}
		if len(vars) == 0 {
			return nil
		}
		return tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.ConfigRead, App: app, Names: daemon.SortedKeys(vars), Text: "was shown " + nameList(daemon.SortedKeys(vars)) + " config vars"})
	})
	return vars, err
}

func describeConfig(c ConfigChange) string {
	var parts []string
	if len(c.Set) > 0 {
		parts = append(parts, "Set "+strings.Join(daemon.SortedKeys(c.Set), ", "))
	}
	if len(c.Unset) > 0 {
		unset := slices.Clone(c.Unset)
		slices.Sort(unset)
		parts = append(parts, "Remove "+strings.Join(unset, ", "))
	}
	return clipped(strings.Join(parts, "; ")) + " config vars"
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

func nameList(names []string) string { return clipped(strings.Join(names, ", ")) }

// clipped bounds a list of names, which are ASCII.
func clipped(s string) string {
	if len(s) > 160 {
		s = s[:157] + "..."
	}
	return s
}
