package apps

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"towline/daemon"
	"towline/daemon/work"
)

// appManifest is what an app.json asks for besides health checks and the protocol. The first deploy
// of an app takes it; later ones find what people have made of it since.
type appManifest struct {
	env       map[string]string // config vars to set
	secrets   []string          // config vars that get a secret of their own
	required  []string          // config vars that somebody has to set
	formation daemon.Formation
	ignored   []string // lines that tell what has no effect
}

// descriptive are the keys that tell people something and ask for nothing.
var descriptive = []string{"$schema", "name", "description", "keywords", "website", "repository", "logo", "success_url", "healthchecks", "protocol"}

// parseManifest reads an app.json. What it asks for in vain is listed, not refused:
// the file may serve elsewhere too.
func parseManifest(text []byte) (appManifest, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return appManifest{}, daemon.Errorf(daemon.Invalid, "app.json is not valid: %v", err)
	}
	m := appManifest{env: map[string]string{}, formation: daemon.Formation{}}
	for _, key := range daemon.SortedKeys(all) {
		var err error
		switch {
		case key == "env":
			err = m.readEnv(all[key])
		case key == "formation":
			err = m.readFormation(all[key])
		case key == "addons":
			m.ignored = append(m.ignored, "addons: a push creates none; towline addons:create SERVICE does")
		case key == "scripts":
			m.ignored = append(m.ignored, "scripts: none is run; what goes before each release is the Procfile's release process")
		case !slices.Contains(descriptive, key):
			m.ignored = append(m.ignored, daemon.Clip(key)+": this key has no effect here")
		}
		if err != nil {
			return m, daemon.Errorf(daemon.Invalid, "app.json: %w", err)
		}
	}
	return m, nil
}

func (m *appManifest) readEnv(text json.RawMessage) error {
	var vars map[string]json.RawMessage
	if err := json.Unmarshal(text, &vars); err != nil {
		return fmt.Errorf("env is not an object of config vars: %w", err)
	}
	for _, key := range daemon.SortedKeys(vars) {
		if err := daemon.CheckConfigKey(key); err != nil {
			return err
		}
		var value string
		if json.Unmarshal(vars[key], &value) == nil {
			m.env[key] = value
			continue
		}
		var v struct {
			Value     *string `json:"value"`
			Generator string  `json:"generator"`
			Required  *bool   `json:"required"`
		}
		if err := json.Unmarshal(vars[key], &v); err != nil {
			return fmt.Errorf("env %s is neither a text nor an object with value or generator", key)
		}
		switch {
		case v.Generator == "secret":
			m.secrets = append(m.secrets, key)
		case v.Generator != "":
			return fmt.Errorf("env %s: there is no generator %q but secret", key, daemon.Clip(v.Generator))
		case v.Value != nil:
			m.env[key] = *v.Value
		case v.Required == nil || *v.Required:
			m.required = append(m.required, key)
		}
	}
	return nil
}

func (m *appManifest) readFormation(text json.RawMessage) error {
	var types map[string]struct {
		Quantity *int   `json:"quantity"`
		Size     string `json:"size"`
	}
	if err := json.Unmarshal(text, &types); err != nil {
		return fmt.Errorf("formation is not an object of process types with a quantity: %w", err)
	}
	for _, name := range daemon.SortedKeys(types) {
		t := types[name]
		if t.Quantity != nil {
			if *t.Quantity < 0 || *t.Quantity > maxProcesses {
				return fmt.Errorf("formation: %d %s processes are not possible; give a number from 0 to %d", *t.Quantity, daemon.Clip(name), maxProcesses)
			}
			m.formation[name] = *t.Quantity
		}
		if t.Size != "" {
			m.ignored = append(m.ignored, fmt.Sprintf("formation %s: size has no effect here", daemon.Clip(name)))
		}
	}
	return nil
}

// config adds to an app's config what it lacks.
func (m *appManifest) config(have map[string]string) map[string]string {
	all := maps.Clone(m.env)
	if all == nil {
		all = map[string]string{}
	}
	for _, key := range m.secrets {
		all[key] = newSecret()
	}
	maps.Copy(all, have)
	return all
}

// newSecret is 64 hexadecimal digits, as those that Heroku's generator makes.
func newSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// firstDeploy returns the config and the formation that an app's first deploy has
// with what its app.json asks for; of later ones the app's config as it is. It tells
// the pusher what was asked for in vain.
func (rl *Releases) firstDeploy(ctx context.Context, app daemon.App, m appManifest, out io.Writer) (map[string]string, daemon.Formation, error) {
	for _, line := range m.ignored {
		work.Warn(out, "app.json: %s", line)
	}
	if app.Current > 0 {
		if rel, err := rl.Release(ctx, app.Name, app.Current); err != nil || rel.Image != "" {
			return app.Config, nil, err
		}
	}
	for _, key := range m.required {
		if _, ok := app.Config[key]; !ok {
			work.Warn(out, "app.json: %s should be set: towline config:set %[1]s=... -a %s", key, app.Name)
		}
	}
	config := m.config(app.Config)
	set := maps.Clone(config)
	maps.DeleteFunc(set, func(key, _ string) bool { _, had := app.Config[key]; return had })
	if len(set) == 0 && len(m.formation) == 0 {
		return app.Config, nil, nil
	}
	if err := rl.checkConfigChange(ctx, ConfigChange{App: app.Name, Set: set}, app); err != nil {
		return nil, nil, err
	}
	if len(set) > 0 {
		work.Stage(out, "Setting %s, as app.json has it for the first deploy", strings.Join(daemon.SortedKeys(set), ", "))
	}
	return config, m.formation, nil
}

// setFormation is how many processes of each type an app's first deploy starts. A
// nil formation leaves the app's own.
func setFormation(tx daemon.AppTx, app string, f daemon.Formation) error {
	if f == nil {
		return nil
	}
	a, err := tx.App(app)
	if err != nil {
		return err
	}
	a.Formation = f
	return tx.UpdateApp(a)
}
