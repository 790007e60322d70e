// Package appjson reads app.json, in which source says what it needs, with the keys of Heroku and
// of Dokku. It knows what they mean, and nothing of what comes of it.
package appjson

import (
	"fmt"
	"strings"

	"towline/daemon"
)

// File is what an app.json says. Names are checked, and numbers in their bounds.
type File struct {
	Env       map[string]string // config vars to set
	Secrets   []string          // config vars that get a secret of their own
	Required  []string          // config vars that somebody has to set: "required": true
	Wanted    []string          // config vars without a value, of which that is not said
	Formation daemon.Formation
	Addons    []Addon
	Scripts   Scripts
	Health    daemon.Health
	Protocol  string // of the web process, as in daemon.Process
	Tests     Tests  // of environments.test: see ForTests
	// Notes tell what is not followed, each with its line: the file may serve elsewhere too.
	Notes []string
}

// maxAddons are as many as a push creates: each is a service that runs.
const maxAddons = 20

// Addon is one that an app asks for.
type Addon struct {
	Service string
	Plan    string // empty: not said
	As      string // prefix of its config vars; empty: not said
	Version string // of the service; empty: not said
	Line    int
}

// Scripts are lines for a shell in the app's image; empty: none.
type Scripts struct {
	Predeploy  string // of each deploy, before its release phase
	Postdeploy string // of the first deploy, once it serves
	Deployed   string // of each deploy, once it serves
	TestSetup  string // of each test run, before its tests, unless environments.test has another
	Test       string // the tests, likewise
}

// Parse reads an app.json. Comments and trailing commas are allowed.
func Parse(text []byte) (File, error) {
	f := File{Env: map[string]string{}, Formation: daemon.Formation{}}
	top, err := read(text, &f.Notes)
	if err != nil {
		return f, err
	}
	later := func(what string) func(value) error {
		return func(v value) error { v.note("%s", what); return nil }
	}
	return f, top.object(fields{
		"$schema": nil, "name": nil, "description": nil, "keywords": nil, "website": nil, "repository": nil, "logo": nil,
		"success_url": nil, "stack": nil, "image": nil, // which tell people something
		"env": f.readEnv, "formation": f.readFormation, "addons": f.readAddons, "scripts": f.readScripts,
		"healthchecks": f.readChecks, "protocol": f.readProtocol,
		"buildpacks":   later("which buildpacks there are is the builder's to say, and it finds by itself which the source needs"),
		"cron":         later("nothing is run at set times yet"),
		"environments": f.readEnvironments,
	})
}

func (f *File) readEnv(v value) error {
	return v.each("config vars", func(name string, v value) error {
		if err := daemon.CheckConfigKey(name); err != nil {
			return v.because(err)
		}
		if text, ok := v.scalar(); ok {
			f.Env[name] = text
			return nil
		}
		if v.kind() != '{' {
			return v.wrong("env %s is neither a text nor an object with value or generator", name)
		}
		given, secret, optional, required := false, false, false, false
		err := v.object(fields{
			"description": nil,
			"value": func(v value) (err error) {
				text, ok := v.scalar()
				if f.Env[name], given = text, true; !ok {
					err = v.wrong("the value of %s is not a text", name)
				}
				return err
			},
			"generator": func(v value) error {
				generator, err := v.text()
				if secret = generator == "secret"; err == nil && !secret {
					err = v.wrong("env %s: there is no generator %q but secret", name, daemon.Clip(generator))
				}
				return err
			},
			"required": func(v value) (err error) {
				required, err = v.boolean()
				optional = !required
				return err
			},
		})
		switch {
		case secret:
			delete(f.Env, name)
			f.Secrets = append(f.Secrets, name)
		case !given && required:
			f.Required = append(f.Required, name)
		case !given && !optional:
			f.Wanted = append(f.Wanted, name)
		}
		return err
	})
}

// MaxProcesses is how many of one type there can be.
const MaxProcesses = 100

func (f *File) readFormation(v value) error {
	return v.each("process types with a quantity", func(name string, v value) error {
		if !daemon.ProcessType.MatchString(name) || len(name) > 30 {
			return v.wrong("formation: %q is not a process type", daemon.Clip(name))
		}
		return v.object(fields{
			"quantity": func(v value) error {
				n, err := v.number()
				if err != nil {
					return err
				}
				if n != float64(int(n)) || n < 0 || n > MaxProcesses {
					return v.wrong("%v %s processes are not possible; give a number from 0 to %d", n, daemon.Clip(name), MaxProcesses)
				}
				f.Formation[name] = int(n)
				return nil
			},
			"size": func(v value) error {
				v.note("there are no sizes here: all processes have the same limits")
				return nil
			},
		})
	})
}

func (f *File) readAddons(v value) error {
	list, err := v.list()
	if len(list) > maxAddons {
		return v.wrong("%d add-ons are more than a push creates: at most %d", len(list), maxAddons)
	}
	for _, v := range list {
		a, plan := Addon{Line: v.line()}, ""
		if v.kind() == '{' {
			err = v.object(fields{
				"plan": func(v value) (err error) { plan, err = v.text(); return err },
				"as":   func(v value) (err error) { a.As, err = v.text(); return err },
				"options": func(v value) error {
					return v.object(fields{"version": func(v value) (err error) {
						text, ok := v.scalar()
						if a.Version = text; !ok {
							err = v.wrong("a version is a text, like \"16\"")
						}
						return err
					}})
				},
			})
		} else {
			plan, err = v.text()
		}
		if err != nil {
			return err
		}
		if a.Service, a.Plan, _ = strings.Cut(plan, ":"); a.Service == "" {
			return v.wrong("an add-on is a text like \"redis\" or \"redis:large\", or an object with that as its plan")
		}
		f.Addons = append(f.Addons, a)
	}
	return err
}

// line reads a line for a shell; one of blanks alone is none.
func line(to *string) func(value) error {
	return func(v value) error {
		text, err := v.text()
		if err == nil && strings.ContainsRune(text, 0) {
			err = v.wrong("a command can't hold a NUL byte")
		}
		if text = strings.TrimSpace(text); text != "" {
			*to = text
		}
		return err
	}
}

func (f *File) readScripts(v value) error {
	var own string
	later := func(v value) error { v.note("there are no review apps yet"); return nil }
	err := v.object(fields{
		"predeploy": line(&own), "postdeploy": line(&f.Scripts.Postdeploy),
		"dokku": func(v value) error {
			return v.object(fields{"predeploy": line(&f.Scripts.Predeploy), "postdeploy": line(&f.Scripts.Deployed)})
		},
		"release": func(v value) error {
			v.note("what goes before each release is the Procfile's release process")
			return nil
		},
		"pr-predestroy": later, "test": line(&f.Scripts.Test), "test-setup": line(&f.Scripts.TestSetup),
	})
	if f.Scripts.Predeploy == "" {
		f.Scripts.Predeploy = own
	}
	return err
}

func (f *File) readProtocol(v value) error {
	return v.each("process types", func(name string, v value) error {
		if name != "web" {
			return v.wrong("protocol of %q: the proxy serves web processes alone", daemon.Clip(name))
		}
		protocol, err := v.text()
		switch {
		case err != nil:
			return err
		case protocol == "", protocol == "http":
			f.Protocol = ""
		case protocol == daemon.ProtocolH2C:
			f.Protocol = daemon.ProtocolH2C
		default:
			return v.wrong("protocol %q of web is not known", daemon.Clip(protocol)).
				WithHint(`it is "http" or, for gRPC, "h2c": {"protocol": {"web": "h2c"}}`)
		}
		return nil
	})
}

// at is how messages name a place in the file.
func at(line, column int) string { return fmt.Sprintf("app.json line %d, column %d", line, column) }
