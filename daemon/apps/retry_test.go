package apps

import (
	"strings"
	"testing"

	"towline/daemon"
)

func TestRetryTarget(t *testing.T) {
	good := func(version int, description, image string) daemon.Release {
		return daemon.Release{Version: version, Description: description, Image: image, Status: daemon.ReleaseGood}
	}
	failed := func(version int, description, image string) daemon.Release {
		return daemon.Release{Version: version, Description: description, Image: image, Status: daemon.ReleaseFailed}
	}
	first, one, two := good(1, "Initial release", ""), good(2, "Deploy 11111111", "one"), good(3, "Deploy 22222222", "two")
	for _, c := range []struct {
		name     string
		releases []daemon.Release // oldest first, the last good one is current
		version  int
		want     int
		err      string
	}{
		{"after a rollback", []daemon.Release{first, one, two, good(4, "Rollback to v2", "one")}, 0, 3, ""},
		{"config after a rollback", []daemon.Release{first, one, two, good(4, "Rollback to v2", "one"), good(5, "Set A config vars", "one")}, 0, 3, ""},
		{"it was tried again already", []daemon.Release{one, two, good(4, "Rollback to v2", "one"), good(5, "Deploy 22222222 again", "two"), good(6, "Rollback to v4", "one")}, 0, 5, ""},
		{"by its version", []daemon.Release{first, one, two}, 2, 2, ""},
		{"a config change that failed", []daemon.Release{first, one, failed(3, "Set A config vars", "one")}, 3, 3, ""},
		{"it serves", []daemon.Release{first, one, two}, 0, 0, "serves already, as v3"},
		{"it serves with other config", []daemon.Release{first, one, good(3, "Set A config vars", "one")}, 0, 0, "serves already, as v3"},
		{"a push that failed", []daemon.Release{first, one, failed(3, "Deploy 22222222", "")}, 0, 0, "is not kept"},
		{"nothing was pushed", []daemon.Release{first}, 0, 0, "nothing was deployed"},
		{"before the first deploy", []daemon.Release{first, one}, 1, 0, "has no image"},
		{"its image is gone", []daemon.Release{first, {Version: 2, Description: "Deploy 1", Kind: "dockerfile", Status: daemon.ReleaseGood}, two}, 2, 0, "no longer kept"},
		{"unknown", []daemon.Release{first, one}, 9, 0, "no release v9"},
		{"under way", []daemon.Release{first, one, {Version: 3, Description: "Deploy 2", Image: "two", Status: daemon.ReleasePending}}, 0, 0, "is being released"},
	} {
		app := daemon.App{Name: "shop"}
		var newestFirst []daemon.Release
		for _, r := range c.releases {
			newestFirst = append([]daemon.Release{r}, newestFirst...)
			if r.Status == daemon.ReleaseGood {
				app.Current = r.Version
			}
		}
		got, err := retryTarget(app, newestFirst, c.version)
		if c.err == "" && (err != nil || got.Version != c.want) || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: v%d, %v; want v%d, %q", c.name, got.Version, err, c.want, c.err)
		}
	}
}

func TestAgain(t *testing.T) {
	for description, want := range map[string]string{
		"Deploy 11111111":                  "Deploy 11111111 again",
		"Deploy 11111111: mend: the thing": "Deploy 11111111 again: mend: the thing",
		"Deploy 11111111 again":            "Deploy 11111111 again",
		"Deploy 11111111 again: x":         "Deploy 11111111 again: x",
		"Deploy archive":                   "Deploy archive again",
	} {
		if got := again(description); got != want {
			t.Errorf("%q becomes %q, want %q", description, got, want)
		}
	}
}
