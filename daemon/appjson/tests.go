package appjson

import (
	"maps"
	"strings"
)

// Tests are what environments.test says of test runs.
type Tests struct {
	Env     map[string]string
	Secrets []string
	Wanted  []string // config vars without a value
	Addons  []Addon
	// OwnAddons: it says which add-ons there are, none maybe. Else they are those of the app.
	OwnAddons bool
	Nodes     int    // 0: not said
	Setup     string // line for a shell; empty: not said
	Test      string // likewise
}

// MaxTestNodes is how many a test run can have, as on Heroku.
const MaxTestNodes = 32

// ForTests is what a test run has: what environments.test says, and for the rest what the file says
// of the app. The usual config vars of tests come before those of the app.
func (f File) ForTests(usual map[string]string) Tests {
	t := f.Tests
	t.Env = maps.Clone(f.Env)
	if t.Env == nil {
		t.Env = map[string]string{}
	}
	maps.Copy(t.Env, usual)
	maps.Copy(t.Env, f.Tests.Env)
	own := func(keys []string) (some []string) {
		for _, key := range keys {
			if _, set := t.Env[key]; !set {
				some = append(some, key)
			}
		}
		return some
	}
	t.Secrets = append(own(f.Secrets), f.Tests.Secrets...)
	for _, key := range f.Tests.Secrets {
		delete(t.Env, key)
	}
	t.Wanted = own(append(append([]string{}, f.Required...), f.Tests.Wanted...))
	if !t.OwnAddons {
		t.Addons = f.Addons
	}
	if t.Setup == "" {
		t.Setup = f.Scripts.TestSetup
	}
	if t.Test == "" {
		t.Test = f.Scripts.Test
	}
	t.Nodes = max(1, t.Nodes)
	return t
}

func (f *File) readEnvironments(v value) error {
	return v.object(fields{
		"test":   f.readTests,
		"review": func(v value) error { v.note("there are no review apps yet"); return nil },
	})
}

func (f *File) readTests(v value) error {
	t := &f.Tests
	return v.object(fields{
		"env": func(v value) error {
			of := File{Env: map[string]string{}}
			if err := of.readEnv(v); err != nil {
				return err
			}
			for key := range of.Env {
				if OfTestRuns(key) {
					return v.wrong("%s is set by test runs themselves", key).WithHint("leave it out of environments.test.env")
				}
			}
			t.Env, t.Secrets, t.Wanted = of.Env, of.Secrets, append(of.Required, of.Wanted...)
			return nil
		},
		"addons": func(v value) error {
			var of File
			err := of.readAddons(v)
			t.Addons, t.OwnAddons = of.Addons, true
			return err
		},
		"scripts": func(v value) error {
			return v.object(fields{"test-setup": line(&t.Setup), "test": line(&t.Test)})
		},
		"formation": func(v value) error {
			return v.object(fields{"test": func(v value) error {
				return v.object(fields{
					"quantity": func(v value) error {
						n, err := v.number()
						if err != nil {
							return err
						}
						if n != float64(int(n)) || n < 1 || n > MaxTestNodes {
							return v.wrong("%v nodes are not possible; give a number from 1 to %d", n, MaxTestNodes)
						}
						t.Nodes = int(n)
						return nil
					},
					"size": func(v value) error {
						v.note("there are no sizes here: all nodes have the same limits")
						return nil
					},
				})
			}})
		},
		"buildpacks": func(v value) error {
			v.note("which buildpacks there are is the builder's to say, and it finds by itself which the source needs")
			return nil
		},
	})
}

// OfTestRuns tells whether a config var is one that test runs set themselves.
func OfTestRuns(key string) bool {
	return key == "CI" || strings.HasPrefix(key, "CI_NODE_") || strings.HasPrefix(key, "HEROKU_TEST_RUN_")
}
