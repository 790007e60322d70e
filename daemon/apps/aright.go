package apps

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"reflect"
	"slices"

	"towline/daemon"
)

// Most starts of the daemon find every app as it should be: it was restarted, and the
// machine was not. Then nothing is to be done, and nothing to be recorded of it.

// Found is what there was of all apps as the daemon started, asked for once.
type Found struct {
	processes map[string][]daemon.Container // by app
	routes    map[string]daemon.Route
}

// Find asks what there is of all apps.
func (ps *Processes) Find(ctx context.Context) (Found, error) {
	f := Found{processes: map[string][]daemon.Container{}, routes: map[string]daemon.Route{}}
	list, err := ps.Engine.ContainerList(ctx, map[string]string{daemon.LabelKind: daemon.KindProcess})
	if err != nil {
		return f, err
	}
	for _, c := range list {
		app := c.Labels[daemon.LabelApp]
		f.processes[app] = append(f.processes[app], c)
	}
	routes, err := ps.Router.Routes(ctx)
	for _, r := range routes {
		f.routes[r.App] = r
	}
	return f, err
}

// isAright tells whether the processes of an app are those of the rollout, no more and no
// fewer, and the proxy serves them. What can't be told is not aright.
func (ps *Processes) isAright(ctx context.Context, r *rollout, f Found) bool {
	app := r.release.App
	missing := map[string]bool{}
	for process, n := range r.formation {
		_, ok := r.release.Processes[process]
		for i := 1; ok && i <= n; i++ {
			missing[fmt.Sprintf("%s.%d", process, i)] = true
		}
	}
	var web []daemon.Target
	for _, c := range f.processes[app] {
		slot := c.Labels[daemon.LabelProcess] + "." + c.Labels[daemon.LabelIndex]
		if !missing[slot] || !c.Running || c.Paused || c.Labels[daemon.LabelRelease] != fmt.Sprint(r.version) ||
			c.Labels[daemon.LabelCapabilities] != capabilityList(r.capabilities) {
			return false
		}
		delete(missing, slot)
		if c.Labels[daemon.LabelProcess] == "web" {
			t, err := ps.listening(ctx, app, c, f.routes[app])
			if err != nil {
				return false
			}
			web = append(web, t)
		}
	}
	have, served := f.routes[app]
	if len(missing) > 0 || !served {
		return false
	}
	want, err := ps.route(ctx, &rollout{release: r.release, web: web})
	return err == nil && sameRoute(have, want)
}

// listening is where a web process listens now, as it may have been restarted: where the
// proxy has it, if that is an address of its own. To ask Podman for each takes long.
func (ps *Processes) listening(ctx context.Context, app string, c daemon.Container, served daemon.Route) (daemon.Target, error) {
	for _, t := range served.Targets {
		ip, port, err := net.SplitHostPort(t.Address)
		if err == nil && t.ID == c.Name && port == listeningPort(c) && slices.Contains(c.IPs, ip) {
			return daemon.Target{ID: t.ID, Address: t.Address}, nil
		}
	}
	return ps.target(ctx, app, c.Name)
}

// sameRoute compares what is served, whatever the order of the targets.
func sameRoute(a, b daemon.Route) bool {
	for _, r := range []*daemon.Route{&a, &b} {
		r.Targets = slices.Clone(r.Targets)
		slices.SortFunc(r.Targets, func(x, y daemon.Target) int { return cmp.Compare(x.ID, y.ID) })
		for v, i := reflect.ValueOf(r).Elem(), 0; i < v.NumField(); i++ {
			emptyIsNil(v.Field(i))
		}
	}
	return reflect.DeepEqual(a, b)
}

// emptyIsNil makes slices and maps without elements nil, in structs too.
func emptyIsNil(v reflect.Value) {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		if v.Len() == 0 {
			v.SetZero()
		}
	case reflect.Struct:
		if v.Type().PkgPath() == "time" {
			return
		}
		for i := range v.NumField() {
			emptyIsNil(v.Field(i))
		}
	}
}
