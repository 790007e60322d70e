package apps

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"towline/daemon"
	"towline/daemon/journal"
	"towline/daemon/work"
)

// rollout is the set of processes that an app should have.
type rollout struct {
	release   daemon.Release
	formation daemon.Formation
	version   int
	fresh     bool     // replace processes even where the release is the same
	refresh   string   // replace only this type or process, like web or web.1
	revive    bool     // start a container that has ended, where it is right, in place of a new one
	after     []string // scripts that are due once it serves

	grant        *[]string // the capabilities that its processes get from now on; nil: the app's
	capabilities []string  // of its processes

	keep  []daemon.Container // running already and right
	start []daemon.ContainerSpec
	made  map[string]bool // names of start whose containers are there
	stop  []daemon.Container
	web   []daemon.Target // of the route to be: kept and started
}

// rollData is what a recovery must know of a rollout that was cut short.
type rollData struct {
	Version int              `json:"version,omitempty"`
	Web     []string         `json:"web,omitempty"` // containers of the route to be
	Before  daemon.Formation `json:"before,omitempty"`
	After   []string         `json:"after,omitempty"` // scripts that are due once it serves
}

// roll takes an app from the processes it has to those of r: start the new web
// processes, wait until they are ready, switch the proxy, commit, start the others,
// and retire what is no longer wanted. The last part goes on in the background.
// Until the switch every failure leaves the old processes serving, and removes the
// new ones; commit is what makes the state follow the switch.
func (ps *Processes) roll(ctx context.Context, op *journal.Operation, r *rollout, out io.Writer, commit func(daemon.Tx) error) error {
	if err := ps.planRollout(ctx, op, r); err != nil {
		return err
	}
	before, err := ps.routes.routeOf(ctx, r.release.App)
	if err != nil {
		return err
	}
	web, others := splitWeb(r.start)
	if err := op.Next(ctx, "start", rollData{Version: r.version}); err != nil {
		return err
	}
	if len(web) > 0 {
		work.Stage(out, "Starting %s", describe(web))
		if p := portOf(r.release, r.capabilities); p.from != "" && (op.Kind == opDeploy || p.number != defaultPort) {
			work.Say(out, "       on port %d: %s", p.number, p.from)
		}
	}
	started := time.Now()
	if err := ps.startProcesses(ctx, r, web); err != nil {
		return err
	}
	data := rollData{Version: r.version, After: r.after}
	for _, t := range r.web {
		data.Web = append(data.Web, t.ID)
	}
	if err := op.Next(ctx, "swap", data); err != nil {
		return err
	}
	if err := ps.swap(ctx, r, web, out); daemon.IsAway(err) {
		// The proxy may have switched, and not lived to say so.
		return errors.Join(err, ps.Life.Outlast(ctx, out, func(ctx context.Context) error { return ps.routes.routeBack(ctx, r.release.App, before) }))
	} else if err != nil {
		return err
	}
	if err := op.Next(ctx, "current", nil, commit, op.Done); err != nil {
		return err
	}
	if len(web) > 0 {
		work.Stage(out, "Serving after %s", time.Since(started).Round(time.Millisecond))
	}
	daemon.Attempt("the end of a change", func() { ps.afterSwap(ctx, op, r, others, out) })
	return nil
}

// afterSwap starts the processes that take no requests and retires the old ones.
// The release serves by now, so nothing here takes it back.
func (ps *Processes) afterSwap(ctx context.Context, op *journal.Operation, r *rollout, others []daemon.ContainerSpec, out io.Writer) {
	if len(others) > 0 {
		work.Stage(out, "Starting %s", describe(others))
		if err := ps.startProcesses(ctx, r, others); err != nil {
			work.Warn(out, "%v", err)
			ps.Logs.Write(r.release.App, "system", "start", err.Error())
			ps.Life.Go(func(ctx context.Context) { ps.convergeLater(ctx, r.release.App) })
		}
	}
	ps.Life.Go(func(ctx context.Context) {
		// Until it works: two generations of workers would do the same work twice.
		retired := work.UntilDone(ctx, "the end of old processes",
			func() error { return ps.retire(ctx, r.release.App, r.stop) },
			func(err error, again time.Duration) {
				ps.Log.Error("retire old processes", "app", r.release.App, "err", err, "again in", again)
			})
		if !retired {
			return
		}
		if err := op.Finish(ctx); err != nil {
			ps.Log.Error("finish operation", "app", r.release.App, "err", err)
		}
		if err := ps.pruneImages(ctx, r.release.App); err != nil {
			ps.Log.Error("prune images", "app", r.release.App, "err", err)
		}
	})
}

// planRollout compares what runs with what should.
func (ps *Processes) planRollout(ctx context.Context, op *journal.Operation, r *rollout) error {
	app := r.release.App
	a, err := ps.App(ctx, app)
	if err != nil {
		return err
	}
	if r.capabilities = a.Capabilities; r.grant != nil {
		r.capabilities = *r.grant
	}
	if err := ps.Engine.EnsureNetwork(ctx, ps.Containers.NetworkName(app), map[string]string{daemon.LabelApp: app}); err != nil {
		return err
	}
	have, err := ps.Engine.ContainerList(ctx, map[string]string{daemon.LabelApp: app, daemon.LabelKind: daemon.KindProcess})
	if err != nil {
		return err
	}
	slots := map[string]daemon.Container{}
	running, ended := parted(have)
	for _, c := range slices.Concat(running, ended) {
		slot := c.Labels[daemon.LabelProcess] + "." + c.Labels[daemon.LabelIndex]
		right := !r.fresh && r.refresh != slot && r.refresh != c.Labels[daemon.LabelProcess] && c.Labels[daemon.LabelRelease] == fmt.Sprint(r.version) &&
			c.Labels[daemon.LabelCapabilities] == capabilityList(r.capabilities) && (c.Running || r.revive && !c.Started.IsZero())
		if _, taken := slots[slot]; right && !taken {
			slots[slot] = c
		} else {
			r.stop = append(r.stop, c)
		}
	}
	r.made = map[string]bool{}
	for _, process := range daemon.SortedKeys(r.formation) {
		p, ok := r.release.Processes[process]
		for i := 1; ok && i <= r.formation[process]; i++ {
			slot := fmt.Sprintf("%s.%d", process, i)
			c, there := slots[slot]
			delete(slots, slot)
			if there && c.Running {
				r.keep = append(r.keep, c)
				continue
			}
			spec := ps.Spec(r.release, r.capabilities, p, process, i, fmt.Sprint(op.ID))
			if there {
				spec.Name, r.made[c.Name] = c.Name, true
			}
			r.start = append(r.start, spec)
		}
	}
	for _, c := range slots { // scaled away
		r.stop = append(r.stop, c)
	}
	slices.SortFunc(r.stop, func(a, b daemon.Container) int { return strings.Compare(a.Name, b.Name) })
	for _, c := range r.keep {
		if c.Labels[daemon.LabelProcess] == "web" {
			t, err := ps.target(ctx, app, c.Name)
			if err != nil {
				return err
			}
			r.web = append(r.web, t)
		}
	}
	return nil
}

// parted tells containers that run from those that have ended.
func parted(list []daemon.Container) (running, ended []daemon.Container) {
	for _, c := range list {
		if c.Running {
			running = append(running, c)
		} else {
			ended = append(ended, c)
		}
	}
	return running, ended
}

// names tells whether process is a type or a process of the formation.
func (r *rollout) names(process string) bool {
	for t, n := range r.formation {
		for i := 1; i <= n; i++ {
			if process == t || process == fmt.Sprintf("%s.%d", t, i) {
				return true
			}
		}
	}
	return false
}

func splitWeb(specs []daemon.ContainerSpec) (web, others []daemon.ContainerSpec) {
	for _, s := range specs {
		if s.Labels[daemon.LabelProcess] == "web" {
			web = append(web, s)
		} else {
			others = append(others, s)
		}
	}
	return web, others
}

func describe(specs []daemon.ContainerSpec) string {
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.Labels[daemon.LabelProcess] + "." + s.Labels[daemon.LabelIndex]
	}
	if len(names) > 6 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:5], ", "), len(names)-5)
	}
	return strings.Join(names, ", ")
}

// startProcesses starts containers of the rollout, some at a time, and creates those that are
// not there. Web processes become targets of its route.
func (ps *Processes) startProcesses(ctx context.Context, r *rollout, specs []daemon.ContainerSpec) error {
	targets := make([]daemon.Target, len(specs))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, spec := range specs {
		g.Go(func() (err error) {
			defer daemon.Contain("the start of a process", &err)
			if !r.made[spec.Name] {
				if err := ps.Containers.Create(gctx, spec); err != nil {
					return err
				}
			}
			if err := ps.Engine.StartContainer(gctx, spec.Name); err != nil {
				return notStarted(spec, err)
			}
			if spec.Labels[daemon.LabelProcess] != "web" {
				return nil
			}
			targets[i], err = ps.target(gctx, r.release.App, spec.Name)
			return ps.explain(gctx, err, []daemon.ContainerSpec{spec}, spec.Name)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, t := range targets {
		if t.ID != "" {
			r.web = append(r.web, t)
		}
	}
	return nil
}

// target is where a web process listens. One that has ended has no address.
func (ps *Processes) target(ctx context.Context, app, container string) (daemon.Target, error) {
	c, err := ps.Engine.Container(ctx, container)
	if err != nil {
		return daemon.Target{}, err
	}
	ip := c.Addresses[ps.Containers.NetworkName(app)]
	if ip == "" {
		return daemon.Target{}, ps.endedEarly(ctx, container, c.ExitCode)
	}
	return daemon.Target{ID: container, Address: ip + ":" + listeningPort(c)}, nil
}

// listeningPort is that of a web process. What was started before ports could be chosen has no label.
func listeningPort(c daemon.Container) string {
	return cmp.Or(c.Labels[daemon.LabelPort], strconv.Itoa(defaultPort))
}

// swap has the proxy switch to the rollout's web processes once they are ready. A
// process that ends before that ends the wait at once.
func (ps *Processes) swap(ctx context.Context, r *rollout, web []daemon.ContainerSpec, out io.Writer) error {
	route, err := ps.route(ctx, r)
	if err != nil {
		return err
	}
	if len(route.Targets) == 0 && len(r.release.Processes) == 0 {
		return nil
	}
	var names []string
	for _, spec := range web {
		names = append(names, spec.Name)
	}
	running, cancel := ps.whileRunning(ctx, names...)
	defer cancel()
	wait, cancel := ps.whileReachable(running, web, out)
	defer cancel()
	if err = upFor(wait, r.release.Health.Uptime, len(web)); err == nil {
		err = ps.Router.Deploy(wait, route)
	}
	if err == nil {
		return nil
	}
	name := ""
	if exited, ok := context.Cause(wait).(*daemon.Error); ok && ctx.Err() == nil {
		err = exited
	}
	var notReady *daemon.NotReadyError
	if (errors.As(context.Cause(wait), &notReady) && ctx.Err() == nil) || errors.As(err, &notReady) {
		name = notReady.Target
		err = daemon.Errorf(daemon.Failed, "%s was not ready: %s", ps.Containers.ShortName(name), notReady.Reason)
	}
	return ps.explain(ctx, err, web, name)
}

// upFor waits until processes that have just started have run for as long as their app.json says.
func upFor(ctx context.Context, d time.Duration, processes int) error {
	if processes == 0 || d == 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// whileRunning returns a context that ends, with the reason as its cause, when one of
// the containers does.
func (ps *Processes) whileRunning(ctx context.Context, containers ...string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	for _, name := range containers {
		go func() {
			defer daemon.Contain("the wait for a process", nil)
			if code, err := ps.Engine.WaitContainer(ctx, name); err == nil {
				cancel(ps.endedEarly(ctx, name, code))
			}
		}()
	}
	return ctx, func() { cancel(nil) }
}

// endedEarly is the error of a web process that ended when it was to become ready.
func (ps *Processes) endedEarly(ctx context.Context, container string, code int) error {
	if why := ps.LimitMet(ctx, container, code); why != "" {
		return daemon.Errorf(daemon.Failed, "%s, before it was ready", why)
	}
	return daemon.Errorf(daemon.Failed, "%s exited with code %d before it was ready", ps.Containers.ShortName(container), code)
}

// route is what the proxy should serve for the rollout.
func (ps *Processes) route(ctx context.Context, r *rollout) (daemon.Route, error) {
	route, err := ps.routes.routeSettings(ctx, r.release.App)
	route.Targets, route.Health = slices.Clone(r.web), r.release.Health
	route.Health.Uptime = 0 // which is seen to here
	for i := range route.Targets {
		route.Targets[i].H2C = r.release.Processes["web"].Protocol == daemon.ProtocolH2C
	}
	return route, err
}
