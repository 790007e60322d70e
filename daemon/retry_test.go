package daemon

import (
	"strings"
	"testing"
)

func TestRetryTarget(t *testing.T) {
	good := func(version int, description, image string) Release {
		return Release{Version: version, Description: description, Image: image, Status: ReleaseGood}
	}
	failed := func(version int, description, image string) Release {
		return Release{Version: version, Description: description, Image: image, Status: ReleaseFailed}
	}
	first, one, two := good(1, "Initial release", ""), good(2, "Deploy 11111111", "one"), good(3, "Deploy 22222222", "two")
	for _, c := range []struct {
		name     string
		releases []Release // oldest first, the last good one is current
		version  int
		want     int
		err      string
	}{
		{"after a rollback", []Release{first, one, two, good(4, "Rollback to v2", "one")}, 0, 3, ""},
		{"config after a rollback", []Release{first, one, two, good(4, "Rollback to v2", "one"), good(5, "Set A config vars", "one")}, 0, 3, ""},
		{"it was tried again already", []Release{one, two, good(4, "Rollback to v2", "one"), good(5, "Deploy 22222222 again", "two"), good(6, "Rollback to v4", "one")}, 0, 5, ""},
		{"by its version", []Release{first, one, two}, 2, 2, ""},
		{"a config change that failed", []Release{first, one, failed(3, "Set A config vars", "one")}, 3, 3, ""},
		{"it serves", []Release{first, one, two}, 0, 0, "serves already, as v3"},
		{"it serves with other config", []Release{first, one, good(3, "Set A config vars", "one")}, 0, 0, "serves already, as v3"},
		{"a push that failed", []Release{first, one, failed(3, "Deploy 22222222", "")}, 0, 0, "is not kept"},
		{"nothing was pushed", []Release{first}, 0, 0, "nothing was deployed"},
		{"before the first deploy", []Release{first, one}, 1, 0, "has no image"},
		{"its image is gone", []Release{first, {Version: 2, Description: "Deploy 1", Kind: "dockerfile", Status: ReleaseGood}, two}, 2, 0, "no longer kept"},
		{"unknown", []Release{first, one}, 9, 0, "no release v9"},
		{"under way", []Release{first, one, {Version: 3, Description: "Deploy 2", Image: "two", Status: ReleasePending}}, 0, 0, "is being released"},
	} {
		app := App{Name: "shop"}
		var newestFirst []Release
		for _, r := range c.releases {
			newestFirst = append([]Release{r}, newestFirst...)
			if r.Status == ReleaseGood {
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
