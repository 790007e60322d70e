package apps

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"towline/daemon"
	"towline/daemon/appjson"
	"towline/daemon/container"
	"towline/daemon/journal"
)

// Spec describes the container of one process. operation tells apart two
// generations of the same process.
func (ps *Processes) Spec(rel daemon.Release, capabilities []string, p daemon.Process, process string, index int, operation string) daemon.ContainerSpec {
	kind := daemon.KindProcess
	if process == "release" {
		kind = daemon.KindRelease
	}
	name := fmt.Sprintf("%s.%d", process, index)
	env := maps.Clone(rel.Config)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, map[string]string{
		"DYNO":            name, // what libraries written for Heroku look for
		"TOWLINE_APP":     rel.App,
		"TOWLINE_PROCESS": name,
		"TOWLINE_RELEASE": fmt.Sprintf("v%d", rel.Version),
	})
	if rel.Commit != "" {
		env["SOURCE_VERSION"] = rel.Commit
	}
	port := portOf(rel, capabilities)
	env[portVar] = port.String()
	id := ps.Containers.ProcessName(rel.App, name, rel.Version, operation)
	return daemon.ContainerSpec{
		Name:       id,
		Image:      rel.Image,
		Hostname:   fmt.Sprintf("%s-%d", process, index),
		Entrypoint: p.Entrypoint,
		Command:    p.Args,
		Env:        env,
		Networks:   []daemon.Attachment{{Network: ps.Containers.NetworkName(rel.App)}},
		Init:       true,
		CapDrop:    []string{"ALL"},
		CapAdd:     capabilities,
		Limits:     ps.Limits,
		LogPath:    ps.Logs.ContainerPath(rel.App, id),
		LogSize:    ps.Logs.ContainerSize(),
		StopGrace:  container.StopGrace,
		Labels: map[string]string{
			daemon.LabelAddon: "", // an image may bring labels of its own
			daemon.LabelApp:   rel.App, daemon.LabelKind: kind, daemon.LabelProcess: process, daemon.LabelIndex: strconv.Itoa(index),
			daemon.LabelRelease: strconv.Itoa(rel.Version), daemon.LabelOperation: operation, daemon.LabelPort: port.String(),
			daemon.LabelCapabilities: capabilityList(capabilities),
		},
	}
}

// ProcessState is one process as it runs.
type ProcessState struct {
	Name    string    `json:"name"` // "web.1"
	Type    string    `json:"type"`
	Command string    `json:"command"`
	State   string    `json:"state"` // up, crashed or stopping
	Since   time.Time `json:"since"`
	Release int       `json:"release"`
	Exit    int       `json:"exit,omitempty"`
}

// List lists what runs of an app, one-offs included.
func (ps *Processes) List(ctx context.Context, app string) (daemon.Formation, []ProcessState, error) {
	a, err := ps.App(ctx, app)
	if err != nil {
		return nil, nil, err
	}
	list, err := ps.Engine.ContainerList(ctx, map[string]string{daemon.LabelApp: app})
	if err != nil {
		return nil, nil, err
	}
	releases, err := ps.Releases(ctx, app)
	if err != nil {
		return nil, nil, err
	}
	var out []ProcessState
	for _, c := range list {
		kind := c.Labels[daemon.LabelKind]
		if kind != daemon.KindProcess && kind != daemon.KindRun {
			continue
		}
		s := ProcessState{
			Name: c.Labels[daemon.LabelProcess] + "." + c.Labels[daemon.LabelIndex], Type: c.Labels[daemon.LabelProcess],
			State: "up", Since: c.Started, Exit: c.ExitCode,
		}
		s.Release, _ = strconv.Atoi(c.Labels[daemon.LabelRelease])
		if !c.Running {
			s.State, s.Since = "crashed", c.Finished
		}
		for _, r := range releases {
			if r.Version == s.Release {
				s.Command = r.Processes[s.Type].Command
			}
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b ProcessState) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.Name, b.Name),
			b.Since.Compare(a.Since))
	})
	for i := 1; i < len(out); i++ {
		if out[i].Name == out[i-1].Name && out[i].Type != "run" {
			out[i].State = "stopping" // its successor serves already
		}
	}
	return a.Formation, out, nil
}

const maxProcesses = appjson.MaxProcesses

// Change is a new count for a process type: absolute, or relative to the present.
type Change struct {
	Type     string
	Count    int
	Relative bool
}

// Scale changes the formation, all or nothing: if a new web process doesn't become
// ready the old formation stays.
func (ps *Processes) Scale(ctx context.Context, app, member string, changes []Change, out io.Writer) (daemon.Formation, error) {
	unlock, err := ps.Journal.LockApp(ctx, app, out)
	if err != nil {
		return nil, err
	}
	defer unlock()
	rel, err := ps.Release(ctx, app, 0)
	if err != nil {
		return nil, err
	}
	if rel.Image == "" {
		return nil, daemon.Errorf(daemon.Conflict, "%s has nothing deployed yet", app).WithHint("git push towline main")
	}
	a, err := ps.App(ctx, app)
	if err != nil {
		return nil, err
	}
	next, err := applyChanges(a.Formation, rel.Processes, changes)
	if err != nil {
		return nil, err
	}
	if maps.Equal(next, a.Formation) {
		return next, nil
	}
	if err := ps.roomForProcesses(app, a.Formation, next); err != nil {
		return nil, err
	}
	event := daemon.Activity{Kind: daemon.ProcessScaled, Member: member, App: app, Release: rel.Version}
	event.Text, event.Names, event.Undo = scaled(a.Formation, next)
	return next, ps.reroll(ctx, event, &rollout{release: rel, formation: next, version: rel.Version}, out)
}

func applyChanges(old daemon.Formation, types map[string]daemon.Process, changes []Change) (daemon.Formation, error) {
	next := maps.Clone(old)
	for _, c := range changes {
		if _, ok := types[c.Type]; !ok || c.Type == "release" {
			return nil, daemon.Errorf(daemon.Invalid, "there is no process type %q", daemon.Clip(c.Type)).
				WithHint("this release has: %s", typeList(types))
		}
		n := c.Count
		if c.Relative {
			n += next[c.Type]
		}
		if n < 0 || n > maxProcesses {
			return nil, daemon.Errorf(daemon.Invalid, "%d %s processes are not possible", n, c.Type).WithHint("give a number from 0 to %d", maxProcesses)
		}
		next[c.Type] = n
	}
	return next, nil
}

// Restart replaces processes by new ones of the same release, without a gap. An
// empty process means all; else a type or one name, like web or web.1.
func (ps *Processes) Restart(ctx context.Context, app, member, process string, out io.Writer) error {
	unlock, err := ps.Journal.LockApp(ctx, app, out)
	if err != nil {
		return err
	}
	defer unlock()
	rel, err := ps.Release(ctx, app, 0)
	if err != nil {
		return err
	}
	if rel.Image == "" {
		return daemon.Errorf(daemon.Conflict, "%s has nothing deployed yet", app).WithHint("git push towline main")
	}
	a, err := ps.App(ctx, app)
	if err != nil {
		return err
	}
	r := &rollout{release: rel, formation: a.Formation, version: rel.Version, fresh: process == "", refresh: process}
	if process != "" && !r.names(process) {
		return daemon.Errorf(daemon.Invalid, "%s has no process %q", app, daemon.Clip(process)).WithHint("towline ps -a %s", app)
	}
	event := daemon.Activity{Kind: daemon.ProcessRestart, Member: member, App: app, Subject: process, Release: rel.Version, Text: "restarted all processes"}
	if process != "" {
		event.Text = "restarted " + process
	}
	return ps.reroll(ctx, event, r, out)
}

const opRoll = "roll" // the same release, other processes

func (ps *Processes) rollKind() journal.Kind {
	return journal.Kind{Name: opRoll, Text: "a change of the processes", Of: journal.OfApp, Background: "current",
		Steps: []string{"roll", "start", "swap", "current"},
		Recover: func(ctx context.Context, op *journal.Operation) error {
			// The formation is in the state once it serves; startAll does the rest.
			return op.Finish(ctx)
		}}
}

// reroll carries out a rollout that makes no release.
func (ps *Processes) reroll(ctx context.Context, event daemon.Activity, r *rollout, out io.Writer) error {
	ctx, cancel := ps.Life.Detach(ctx)
	defer cancel()
	op, err := ps.Journal.Begin(ctx, opRoll, r.release.App, event, "roll", nil)
	if err != nil {
		return err
	}
	return op.Do(ctx, out, func(ctx context.Context) error {
		return ps.roll(ctx, op, r, out, func(tx daemon.Tx) error {
			app, err := tx.App(r.release.App)
			if err != nil {
				return err
			}
			app.Formation = r.formation
			if err := tx.UpdateApp(app); err != nil || r.grant == nil {
				return err
			}
			return putCapabilities(tx, app.Name, *r.grant)
		})
	}, func(ctx context.Context) error {
		err := ps.Containers.RemoveWhere(ctx, map[string]string{daemon.LabelApp: r.release.App}, func(c daemon.Container) bool {
			return c.Labels[daemon.LabelOperation] == fmt.Sprint(op.ID) || r.made[c.Name]
		})
		if daemon.IsAway(err) {
			return err
		}
		return errors.Join(err, op.Finish(ctx))
	})
}

// scaled says in words how a formation changed, and how to go back.
func scaled(before, after daemon.Formation) (text string, types []string, undo string) {
	var to, back []string
	for _, t := range daemon.SortedKeys(after) {
		if after[t] != before[t] {
			types = append(types, t)
			to, back = append(to, fmt.Sprintf("%s=%d", t, after[t])), append(back, fmt.Sprintf("%s=%d", t, before[t]))
		}
	}
	return "scaled to " + strings.Join(to, " "), types, "ps:scale " + strings.Join(back, " ")
}

func typeList(types map[string]daemon.Process) string {
	names := daemon.SortedKeys(types)
	names = slices.DeleteFunc(names, func(n string) bool { return n == "release" })
	s := ""
	for i, n := range names {
		if i > 0 {
			s += ", "
		}
		s += n
	}
	return s
}

// convergeLater calls Converge until it succeeds, with the back-off of what dies.
func (ps *Processes) convergeLater(ctx context.Context, app string) {
	for {
		select {
		case <-time.After(max(time.Second, ps.Containers.Crashes.Delay("the processes of "+app))):
		case <-ctx.Done():
			return
		}
		err := daemon.Try("the start of an app's processes", func() error { return ps.Converge(ctx, app, nil) })
		if err == nil || ctx.Err() != nil {
			return
		}
		ps.Log.Error("start app", "app", app, "err", err)
	}
}

// Converge starts what is missing of an app's current release and retires the rest.
// An app that is gone is no error. there tells what was found as the daemon started, while
// that is news; may be nil.
func (ps *Processes) Converge(ctx context.Context, app string, there func() (Found, error)) error {
	unlock, err := ps.Journal.LockApp(ctx, app, nil)
	if err != nil {
		return err
	}
	defer unlock()
	a, err := ps.App(ctx, app)
	if daemon.IsKind(err, daemon.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	rel, err := ps.Release(ctx, app, 0)
	if daemon.IsKind(err, daemon.NotFound) {
		return nil
	}
	if err == nil && rel.Image == "" {
		return ps.routes.syncRoute(ctx, app)
	}
	if err != nil {
		return err
	}
	// At the first try after a reboot, what has ended is started as it is: that takes half as long
	// as a new container. One that can't be started, or does not get ready, is replaced at the next.
	r := &rollout{release: rel, formation: a.Formation, version: rel.Version, capabilities: a.Capabilities, revive: there != nil}
	if there != nil {
		if f, err := there(); err == nil && ps.isAright(ctx, r, f) {
			return nil
		}
	}
	return ps.reroll(ctx, daemon.Activity{}, r, nil)
}
