package addons

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"towline/daemon"
	"towline/daemon/appjson"
	"towline/plugins"
)

// Throwaway is an add-on that a test run is to have: of the service's own manifest, on a network of
// the run, with its data in memory. It is in no list, and never backed up.
type Throwaway struct {
	// PerNode: each node of the run has one of its own.
	PerNode bool

	req      ProvisionRequest
	manifest *plugins.Manifest
}

// perNode are plans by which each node has an add-on of its own: Heroku's name for it, and ours.
var perNode = []string{"in-dyno", "per-node"}

// Throwaways checks what source asks for, without any effect. The notes are for the pusher.
func (ad *Addons) Throwaways(wanted []appjson.Addon) (list []Throwaway, notes []string, err error) {
	setBy := map[string]string{} // config var -> service
	for _, w := range wanted {
		t, known := ad.throwaway(w)
		if !known {
			notes = append(notes, fmt.Sprintf("app.json line %d: there is no add-on %s here; there are: %s\nwhat its config vars are in tests environments.test.env can say",
				w.Line, daemon.Clip(w.Service), strings.Join(ad.Catalog.Names(), ", ")))
			continue
		}
		vars, err := ad.wantedVars(t.req)
		if err == nil {
			_, err = ad.checkRequest(&t.req)
		}
		for _, v := range vars {
			if setBy[v] != "" {
				err = daemon.Errorf(daemon.Invalid, "%s sets %s, as %s does", t.req.Service, v, setBy[v]).WithHint(`give it a prefix of its own: {"plan": "%s", "as": "CACHE"}`, t.req.Service)
			}
			setBy[v] = t.req.Service
		}
		if err != nil {
			refused := daemon.Errorf(daemon.Invalid, "app.json line %d: %w", w.Line, err)
			var e *daemon.Error
			if errors.As(err, &e) {
				refused.Hint = e.Hint
			}
			return nil, notes, refused
		}
		list = append(list, t)
	}
	return list, notes, nil
}

// throwaway is what an app.json means, if there is such a service.
func (ad *Addons) throwaway(w appjson.Addon) (t Throwaway, known bool) {
	t.req = ProvisionRequest{Service: w.Service, Plan: w.Plan, Version: w.Version, Prefix: strings.ToUpper(w.As)}
	if h, ok := herokus[w.Service]; ok {
		if t.req.Service = h.service; t.req.Prefix == "" {
			t.req.Prefix = h.prefix
		}
	}
	if t.manifest, known = ad.Catalog.Service(t.req.Service); !known {
		return t, false
	}
	t.PerNode = slices.Contains(perNode, w.Plan)
	if foreign := t.req.Service != w.Service; t.PerNode || foreign && !slices.Contains(t.manifest.PlanNames(), w.Plan) {
		t.req.Plan = "" // sizes are no other machine's
	}
	return t, true
}

// Service is what it is of.
func (t Throwaway) Service() string { return t.req.Service }

// New is one that is reached as host, with secrets of its own.
func (t Throwaway) New(host string) (daemon.Addon, plugins.Spec, []plugins.Var, error) {
	req := t.req
	req.Name = host
	a := newAddon(req, t.manifest)
	spec, err := t.manifest.Render(instance(a))
	if err != nil {
		return a, spec, nil, err
	}
	return a, spec, spec.Vars(req.Prefix), nil
}

// throwawayData is what the data of a throwaway may take of memory, beside what its plan allows the
// service, in bytes: a database sets some hundred megabytes aside for its log.
const throwawayData = 1 << 30

// ThrowawaySpec describes its container. The files of spec are in a directory of the host: see
// WriteFiles.
func (ss *Services) ThrowawaySpec(a daemon.Addon, spec plugins.Spec, name, network, files string, labels map[string]string) daemon.ContainerSpec {
	c := ss.Spec(a, spec)
	c.Name, c.Labels, c.LogPath, c.LogSize = name, labels, "", 0
	c.Networks = []daemon.Attachment{{Network: network, Aliases: []string{a.Name}}}
	c.Limits.Background = true
	if c.Limits.Memory > 0 {
		c.Limits.Memory += throwawayData
	}
	for i, m := range c.Mounts {
		if m.Volume != "" {
			c.Mounts[i] = daemon.Mount{Target: m.Target}
		} else {
			c.Mounts[i].Source = filepath.Join(files, filepath.Base(m.Source))
		}
	}
	return c
}
