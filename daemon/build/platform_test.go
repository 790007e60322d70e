package build

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"towline/daemon"
)

func builderImage(metadata string) daemon.Image {
	return daemon.Image{
		Labels: map[string]string{builderLabel: metadata},
		Env:    map[string]string{"CNB_USER_ID": "1002", "CNB_GROUP_ID": "1000"},
	}
}

const apis014 = `{"buildpack":{"supported":["0.10"]},"platform":{"deprecated":["0.7"],"supported":["0.11","0.12","0.13","0.14","0.15"]}}`

func TestParsePlatform(t *testing.T) {
	lifecycle := func(label string) daemon.Image { return daemon.Image{Labels: map[string]string{lifecycleLabel: label}} }
	for _, test := range []struct {
		name               string
		builder, lifecycle daemon.Image
		want               platform
	}{
		{
			"the newest that all speak",
			builderImage(`{"buildpacks":[{"id":"heroku/ruby"}],"images":[{"image":"docker.io/heroku/heroku:24","mirrors":["m.example/run"]}],` +
				`"lifecycle":{"apis":` + apis014 + `}}`),
			lifecycle(`{"platform":{"supported":["0.12","0.13"]}}`),
			platform{API: "0.13", UID: 1002, GID: 1000, RunImages: []string{"docker.io/heroku/heroku:24", "m.example/run"}, Buildpacks: []buildpackRef{{ID: "heroku/ruby"}}},
		},
		{
			"a lifecycle image without a label",
			builderImage(`{"stack":{"runImage":{"image":"run"}},"lifecycle":{"apis":` + apis014 + `}}`),
			daemon.Image{},
			platform{API: "0.14", UID: 1002, GID: 1000, RunImages: []string{"run"}},
		},
		{
			"a deprecated version is one that is spoken",
			builderImage(`{"stack":{"runImage":{"image":"run"}},"lifecycle":{"apis":{"platform":{"deprecated":["0.12"],"supported":["0.20"]}}}}`),
			daemon.Image{},
			platform{API: "0.12", UID: 1002, GID: 1000, RunImages: []string{"run"}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parsePlatform(test.builder, test.lifecycle)
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, error %v, want %+v", got, err, test.want)
			}
		})
	}
}

func TestParsePlatformRefuses(t *testing.T) {
	good := `{"stack":{"runImage":{"image":"run"}},"lifecycle":{"apis":` + apis014 + `}}`
	for _, test := range []struct {
		name, metadata string
		env            map[string]string
		want           string
	}{
		{"no builder", "", nil, "has no label"},
		{"no JSON", "{", nil, "label io.buildpacks.builder.metadata"},
		{"too old", `{"lifecycle":{"api":{"platform":"0.4"}}}`, nil, "platform API 0.4, not 0.14"},
		{"no run image", `{"lifecycle":{"apis":` + apis014 + `}}`, nil, "names no run image"},
		{"no user", good, map[string]string{"CNB_USER_ID": ""}, "CNB_USER_ID"},
		{"root", good, map[string]string{"CNB_USER_ID": "0"}, "CNB_USER_ID"},
		{"a group outside the build's", good, map[string]string{"CNB_GROUP_ID": "70000"}, "CNB_GROUP_ID"},
	} {
		t.Run(test.name, func(t *testing.T) {
			image := builderImage(test.metadata)
			maps.Copy(image.Env, test.env)
			if _, err := parsePlatform(image, daemon.Image{}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestLookedFor(t *testing.T) {
	p := platform{Buildpacks: []buildpackRef{{ID: "heroku/nodejs"}, {ID: "heroku/ruby"}, {ID: "heroku/nodejs-engine"}, {ID: "heroku/go"}, {ID: "heroku/procfile"}, {ID: "google/x"}}}
	if got := p.lookedFor(); got != "Dockerfile, Gemfile, package.json, go.mod, Procfile" {
		t.Errorf("looked for %s", got)
	}
}
