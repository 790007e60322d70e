package appjson

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"towline/daemon"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text string
		want File // its zero maps stand for empty ones
		note string
	}{
		{text: `{}`},
		{text: `{"$schema": "x", "name": "shop", "description": "d", "keywords": ["a"], "website": "w", "repository": "r", "logo": "l",
			"success_url": "/", "stack": "heroku-24", "image": "heroku/ruby"}`},
		{text: `{"env": {"A": "1", "B": {"value": ""}, "C": {"description": "d", "required": false}, "N": 5, "T": {"value": true}}}`,
			want: File{Env: map[string]string{"A": "1", "B": "", "N": "5", "T": "true"}}},
		{text: `{"env": {"KEY": {"generator": "secret"}, "OWN": {"generator": "secret", "value": "x"}}}`, want: File{Secrets: []string{"KEY", "OWN"}}},
		{text: `{"env": {"A": {"description": "d"}, "B": {"required": true}, "C": {"required": true, "value": "v"}}}`,
			want: File{Env: map[string]string{"C": "v"}, Required: []string{"B"}, Wanted: []string{"A"}}},
		{text: `{"env": {"A": {"required": "yes", "value": null}}}`, want: File{}, note: "neither true nor false"},
		{text: `{"env": {"A": {"valeu": "1", "required": false}}}`, note: "line 1: env.A.valeu: this key has no effect here"},
		{text: `{"formation": {"web": {"quantity": 2}, "worker": {"quantity": 0}}}`, want: File{Formation: daemon.Formation{"web": 2, "worker": 0}}},
		{text: "{\n\"formation\": {\"web\": {\n\"size\": \"standard-1x\"}}}", note: "app.json line 3: formation.web.size: there are no sizes"},
		{text: `{"addons": ["redis", "heroku-postgresql:essential-0", {"plan": "redis:large", "as": "cache", "options": {"version": "7"}}]}`,
			want: File{Addons: []Addon{{Service: "redis", Line: 1}, {Service: "heroku-postgresql", Plan: "essential-0", Line: 1},
				{Service: "redis", Plan: "large", As: "cache", Version: "7", Line: 1}}}},
		{text: `{"scripts": {"predeploy": "a", "postdeploy": " b && c "}}`, want: File{Scripts: Scripts{Predeploy: "a", Postdeploy: "b && c"}}},
		{text: `{"scripts": {"predeploy": "a", "dokku": {"predeploy": "d", "postdeploy": "e"}}}`, want: File{Scripts: Scripts{Predeploy: "d", Deployed: "e"}}},
		{text: `{"scripts": {"release": "x"}}`, note: "Procfile's release process"},
		{text: `{"scripts": {"pr-predestroy": "x"}}`, note: "review apps"},
		{text: `{"protocol": {"web": "h2c"}}`, want: File{Protocol: "h2c"}},
		{text: `{"protocol": {"web": "http"}}`},
		{text: `{"buildpacks": [{"url": "heroku/python"}]}`, note: "line 1: buildpacks: "},
		{text: `{"cron": [{"command": "x", "schedule": "@daily"}]}`, note: "line 1: cron: "},
		{text: `{"environments": {"test": {}}}`},
		{text: `{"environments": {"review": {"env": 5}}}`, note: "line 1: environments.review: there are no review apps yet"},
		{text: `{"environments": {"staging": {}}}`, note: "line 1: environments.staging: this key has no effect here"},
		{text: `{"scripts": {"test": " bin/test ", "test-setup": "x"}}`, want: File{Scripts: Scripts{Test: "bin/test", TestSetup: "x"}}},
		{text: `{"environments": {"test": {"env": {"A": "1", "B": {"generator": "secret"}, "C": {}}, "addons": ["redis:in-dyno"], "formation": {"test": {"quantity": 3, "size": "performance-m"}},
			"scripts": {"test-setup": "s", "test": "t"}}}}`, note: "line 1: environments.test.formation.test.size: ",
			want: File{Tests: Tests{Env: map[string]string{"A": "1"}, Secrets: []string{"B"}, Wanted: []string{"C"}, Addons: []Addon{{Service: "redis", Plan: "in-dyno", Line: 1}}, OwnAddons: true, Nodes: 3, Setup: "s", Test: "t"}}},
		{text: `{"environments": {"test": {"addons": []}}}`, want: File{Tests: Tests{OwnAddons: true}}},
		{text: `{"environments": {"test": {"scripts": {"postdeploy": "x"}, "formation": {"web": {"quantity": 1}}}}}`, note: "no effect here"},
		{text: `{"environments": {"test": {"buildpacks": []}}}`, note: "environments.test.buildpacks"},
		{text: `{"Env": {}}`, note: "did you mean env?"},
		{text: `{"expo": {"name": "x"}}`, note: "line 1: expo: this key has no effect here"},
		{text: `{"env": {"A": "1"}, "env": {"A": "2"}}`, want: File{Env: map[string]string{"A": "2"}}, note: "twice"},
		// Comments, trailing commas, a mark of the byte order, and nothing after the last comment.
		{text: "\ufeff{ // one\n\"env\": {/* [[ */ \"A\": \"1 // \\\" {\",},\n} // end", want: File{Env: map[string]string{"A": `1 // " {`}}},
	} {
		f, err := Parse([]byte(c.text))
		if err != nil {
			if !strings.Contains(err.Error(), c.note) || c.note == "" {
				t.Errorf("%s: %v", c.text, err)
			}
			continue
		}
		notes := strings.Join(f.Notes, "\n")
		if (c.note == "") != (notes == "") || !strings.Contains(notes, c.note) {
			t.Errorf("%s: notes %q, want %q", c.text, notes, c.note)
		}
		f.Notes = nil
		slices.Sort(f.Secrets)
		if len(f.Env) == 0 {
			f.Env = nil
		}
		if len(f.Formation) == 0 {
			f.Formation = nil
		}
		if !reflect.DeepEqual(f, c.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.text, f, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		``:                              "app.json is not valid",
		`{`:                             "app.json is not valid: line 2, column 1",
		"{\n  \"env\": {},\n  \"x\" 5}": "line 3, column 7: invalid character '5' after object name",
		`[]`:                            "line 1, column 1: this is not valid: it is no object",
		`{'a': 1}`:                      "not valid",
		"{\"a\": \"" + strings.Repeat("x", 10_000) + "\\q\"}":                      "not valid",
		strings.Repeat("[", 1_000_000):                                             "line 1, column 51: this is nested",
		strings.Repeat(`{"a":`, 1_000_000):                                         "this is nested",
		`{"env": []}`:                                                              "line 1, column 9: env is not an object",
		`{"env": {"A": null}}`:                                                     "neither a text nor an object",
		`{"env": {"A": {"value": [1]}}}`:                                           "the value of A is not a text",
		`{"env": {"A B": "1"}}`:                                                    "not allowed",
		`{"env": {"DYNO": "80"}}`:                                                  "set by Towline itself",
		`{"env": {"TOWLINE_APP": "x"}}`:                                            "set by Towline itself",
		"{\"env\": {\n\t\"é\": \"1\", \"A\": {\"generator\": \"uuid\"}}}":          "not allowed",
		"{\"env\": {\n\t\"A\": {\"generator\": \"uuid\"}}}":                        `app.json line 2, column 21: env A: there is no generator "uuid"`,
		`{"env": {"A": {"required": 1}}}`:                                          "neither true nor false",
		`{"formation": [1]}`:                                                       "formation is not an object",
		`{"formation": {"web": 2}}`:                                                "formation.web is not an object of quantity, size",
		`{"formation": {"web": {"quantity": -1}}}`:                                 "not possible",
		`{"formation": {"web": {"quantity": 1.5}}}`:                                "not possible",
		`{"formation": {"web": {"quantity": 1e300}}}`:                              "not possible",
		`{"formation": {"web": {"quantity": "2"}}}`:                                "formation.web.quantity is not a number",
		`{"addons": {}}`:                                                           "addons is not a list",
		`{"addons": [5]}`:                                                          "addons[0] is not a text",
		`{"addons": [{"as": "X"}]}`:                                                "an add-on is a text",
		`{"addons": [":x"]}`:                                                       "an add-on is a text",
		`{"scripts": {"postdeploy": ["x"]}}`:                                       "scripts.postdeploy is not a text",
		`{"scripts": {"postdeploy": "a\u0000"}}`:                                   "NUL",
		`{"protocol": {"web": "grpc"}}`:                                            `protocol "grpc" of web is not known`,
		`{"protocol": {"worker": "h2c"}}`:                                          "web processes alone",
		`{"protocol": "h2c"}`:                                                      "protocol is not an object",
		`{"environments": []}`:                                                     "environments is not an object",
		`{"environments": {"test": "x"}}`:                                          "environments.test is not an object",
		`{"environments": {"test": {"env": ["A"]}}}`:                               "environments.test.env is not an object",
		`{"environments": {"test": {"env": {"CI": "no"}}}}`:                        "CI is set by test runs themselves",
		`{"environments": {"test": {"env": {"A B": "1"}}}}`:                        "not allowed",
		`{"environments": {"test": {"addons": {"redis": 1}}}}`:                     "environments.test.addons is not a list",
		`{"environments": {"test": {"scripts": {"test": ["x"]}}}}`:                 "environments.test.scripts.test is not a text",
		`{"environments": {"test": {"scripts": {"test": "a\u0000"}}}}`:             "NUL",
		`{"environments": {"test": {"formation": {"test": {"quantity": 33}}}}}`:    "33 nodes are not possible; give a number from 1 to 32",
		`{"environments": {"test": {"formation": {"test": {"quantity": 0}}}}}`:     "0 nodes are not possible",
		`{"environments": {"test": {"formation": {"test": {"quantity": "two"}}}}}`: "environments.test.formation.test.quantity is not a number",
	} {
		_, err := Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || !daemon.IsKind(err, daemon.Invalid) || !strings.Contains(err.Error(), "app.json") {
			t.Errorf("%.100s: %v, want %q", text, err, want)
		} else if len(err.Error()) > 400 {
			t.Errorf("%.100s: the error is %d bytes long", text, len(err.Error()))
		}
	}
}

func TestChecks(t *testing.T) {
	web := func(checks string) []byte { return []byte(`{"healthchecks": {"web": [` + checks + `]}}`) }
	for text, want := range map[string]daemon.Health{
		``: {},
		`{"type": "liveness", "path": "/a"}, {"type": "startup", "path": "/b"}`:  {Path: "/b"},
		`{"type": "readiness", "path": "/a"}, {"type": "startup", "path": "/b"}`: {Path: "/b"},
		`{"type": "readiness", "path": "/a"}`:                                    {Path: "/a"},
		`{"path": "/up", "timeout": 1.5, "status": 204}`:                         {Path: "/up", Timeout: 1500 * time.Millisecond, Status: []int{204}},
		`{"path": "/up", "status": [200, 401]}`:                                  {Path: "/up", Status: []int{200, 401}},
		`{"content": "welcome", "name": "n", "description": "d"}`:                {Path: "/", Content: "welcome"},
		`{"status": 404}`:                     {Path: "/", Status: []int{404}},
		`{"listening": true}`:                 {},
		`{"uptime": 3}`:                       {Uptime: 3 * time.Second},
		`{"uptime": 3}, {"path": "/up"}`:      {Path: "/up", Uptime: 3 * time.Second},
		`{"path": "/up"}, {"path": "/other"}`: {Path: "/up"},
		// Seconds to become ready count when they are more than a minute; that they were said, always.
		`{"path": "/up", "attempts": 3, "wait": 5, "timeout": 5}`:                      {Path: "/up", Timeout: 5 * time.Second, Deadline: time.Minute},
		`{"path": "/up", "attempts": 20, "wait": 7, "timeout": 3, "initialDelay": 10}`: {Path: "/up", Timeout: 3 * time.Second, Deadline: 210 * time.Second},
		`{"attempts": 20}`:                    {Deadline: 200 * time.Second},
		`{"path": "/up", "initialDelay": 20}`: {Path: "/up", Deadline: time.Minute},
	} {
		if got, err := Parse(web(text)); err != nil || !reflect.DeepEqual(got.Health, want) {
			t.Errorf("%s: got %+v, %v", text, got.Health, err)
		}
	}
	for text, want := range map[string]string{
		`5`:                          "a health check is an object",
		`{"path": "up"}`:             "does not begin with a slash",
		`{"path": "/up now"}`:        "can't have",
		`{"path": "/up\r\nHost: x"}`: "can't have",
		`{"path": "/` + strings.Repeat("a", 5000) + `"}`: "4096",
		`{"timeout": -1}`:                    "timeout -1 is not between",
		`{"timeout": 1e300}`:                 "is not between",
		`{"attempts": 400, "wait": 10}`:      "at most 1h",
		`{"path": "/up", "status": 99}`:      "status 99",
		`{"path": "/up", "status": "fine"}`:  "must be a number",
		`{"path": "/up", "status": [200.5]}`: "must be a number",
		`{"command": ["true"]}`:              "by a command is not made",
		`{"type": "vital"}`:                  `no health check of type "vital"`,
	} {
		if _, err := Parse(web(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.100s: got %v, want %q", text, err, want)
		}
	}
	for text, want := range map[string]string{
		`{"path": "/a", "port": 5000, "scheme": "http", "warn": false}`: "",
		`{"path": "/a", "port": 3000}`:                                  "$PORT",
		`{"path": "/a", "scheme": "https"}`:                             "the proxy is what speaks TLS",
		`{"path": "/a", "warn": true}`:                                  "never only a warning",
		`{"path": "/a", "httpHeaders": []}`:                             "a visitor's",
		`{"path": "/a", "onFailure": {}}`:                               "refused",
		`{"type": "liveness"}`:                                          "no liveness check",
		`{"path": "/a"}, {"path": "/b"}`:                                "one path",
		`{"path": "/a"}, {"type": "readiness", "path": "/b"}`:           "no other is made",
	} {
		f, err := Parse(web(text))
		if notes := strings.Join(f.Notes, "\n"); err != nil || !strings.Contains(notes, want) || (notes == "") != (want == "") {
			t.Errorf("%s: notes %q, %v; want %q", text, notes, err, want)
		}
	}
	f, err := Parse([]byte(`{"healthchecks": {"worker": [{"uptime": 5}]}}`))
	if err != nil || !strings.Contains(strings.Join(f.Notes, ""), "web processes alone") {
		t.Error(f, err)
	}
}

// TestExamplesPromiseWhatIsDone: nothing in the app.json of an example is without effect.
func TestExamplesPromiseWhatIsDone(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/app.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if f, err := Parse(text); err != nil || len(f.Notes) > 0 {
			t.Errorf("%s: %q, %v", file, f.Notes, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{"env": {"A": "1"}}`, `{"addons": ["redis"]} // x`, `{"healthchecks": {"web": [{"path": "/up"}]}}`, "[[[[", "/*", `{"a": "\`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		one, err := Parse(text)
		two, again := Parse(text)
		if (err == nil) != (again == nil) || !maps.Equal(one.Env, two.Env) {
			t.Error("one text, two meanings")
		}
	})
}

// TestBounded: what a stranger writes takes little time, however much there is of it, and tells
// its reader little.
func TestBounded(t *testing.T) {
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	for text, want := range map[string]string{
		"{" + many(10_000, "\n\"k%d\":1,") + "}":                               "more than 500 members",
		"{" + strings.Repeat("\"a\":1,", 10_000) + "}":                         "more than 500 members",
		"{\"env\":{" + many(10_000, "\"K%d\":1,") + "}}":                       "env has more than 500 members",
		"{\"addons\":[" + strings.Repeat("\"redis\",\n", 21) + "]}":            "21 add-ons are more than a push creates",
		"{\"healthchecks\":{\"web\":[" + strings.Repeat("{},", 10_000) + "]}}": "more than 500 elements",
		"{\"formation\":{\"a b\":{\"quantity\":1}}}":                           "not a process type",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q", text, err, want)
		}
	}
	f, err := Parse([]byte("{" + many(400, "\n\"k%d\":1,") + "\"\\u001b[31m\\n\":1}"))
	if err != nil || len(f.Notes) != maxNotes+1 {
		t.Errorf("%d notes, %v", len(f.Notes), err)
	}
	f, err = Parse([]byte("{\"\\u001b[31m\\nremote: x\\u202e\":1}"))
	if err != nil || strings.ContainsAny(f.Notes[0], "\x1b\n\u202e") {
		t.Errorf("%q, %v", f.Notes, err)
	}
}
