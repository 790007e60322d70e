package apps

import (
	"context"
	"errors"
	"fmt"
	"io"

	"towline/daemon"
	"towline/daemon/appjson"
	"towline/daemon/journal"
	"towline/daemon/shell"
	"towline/daemon/work"
)

// scripts are those of an app.json that a deploy runs, besides the release process.
type scripts struct {
	before string   // the release phase; empty: none
	after  []string // the release serves, in order

	op *journal.Operation // of those after, once they are due
}

// scriptsOf are those that a deploy runs.
func scriptsOf(m appjson.File, first bool) scripts {
	s := scripts{before: m.Scripts.Predeploy}
	if m.Scripts.Deployed != "" {
		s.after = append(s.after, m.Scripts.Deployed)
	}
	if first && m.Scripts.Postdeploy != "" {
		s.after = append(s.after, m.Scripts.Postdeploy)
	}
	return s
}

// phase is a process that runs once, to its end, with each deploy or release.
type phase struct{ process, title, noun string }

var (
	phasePredeploy  = phase{"predeploy", "Predeploy", "predeploy script"}
	phaseRelease    = phase{"release", "Release phase", "release phase"}
	phasePostdeploy = phase{"postdeploy", "Postdeploy", "postdeploy script"}
)

// phases run what runs once with each deploy or release: a script, or the release process.
type phases struct{ *base }

// runPhase runs a phase of a release, whose failure is an error with that hint, and returns what
// it wrote.
func (phs *phases) runPhase(ctx context.Context, op *journal.Operation, rel daemon.Release, ph phase, p daemon.Process, hint string, out io.Writer) (string, error) {
	app, err := phs.App(ctx, rel.App)
	if err != nil {
		return "", err
	}
	work.Stage(out, "%s: %s", ph.title, p.Command)
	spec := phs.processes.Spec(rel, app.Capabilities, p, ph.process, 1, fmt.Sprint(op.ID))
	spec.Labels[daemon.LabelKind] = daemon.KindRelease
	if err := phs.Containers.Create(ctx, spec); err != nil {
		return "", err
	}
	w := work.NewIndent(out)
	code, err := phs.Engine.RunAttached(ctx, spec.Name, daemon.Streams{Stdout: w, Stderr: w})
	w.Flush()
	why := phs.processes.LimitMet(ctx, spec.Name, code)
	err = errors.Join(err, phs.Engine.RemoveContainer(context.WithoutCancel(ctx), spec.Name))
	switch {
	case err != nil:
	case why != "":
		err = daemon.Errorf(daemon.Failed, "the %s: %s", ph.noun, why).WithHint(LimitHint)
	case code != 0:
		err = failedPhase(ph.noun, code, w.String(), app, hint)
	}
	return w.String(), err
}

// runBefore runs what goes before anything of a release serves: a script, and its release process.
// What they write is kept without the app's secrets, as a build's output is.
func (phs *phases) runBefore(ctx context.Context, op *journal.Operation, rel *daemon.Release, script string, out io.Writer) error {
	defer func() { rel.Output = Hiding(rel.Config).Replace(rel.Output) }()
	release, ok := rel.Processes["release"]
	if !ok && script == "" {
		return nil
	}
	if err := phs.Engine.EnsureNetwork(ctx, phs.Containers.NetworkName(rel.App), map[string]string{daemon.LabelApp: rel.App}); err != nil {
		return err
	}
	if err := op.Next(ctx, "release-phase", nil); err != nil {
		return err
	}
	hint := "its output is above"
	if before, err := phs.Release(ctx, rel.App, 0); err == nil && before.Image != "" {
		hint += "; the release that served before serves on"
	}
	if script != "" {
		p, err := phs.scriptProcess(ctx, *rel, script)
		if err == nil {
			rel.Output, err = phs.runPhase(ctx, op, *rel, phasePredeploy, p, hint, out)
		}
		if err != nil {
			return err
		}
	}
	if !ok {
		return nil
	}
	output, err := phs.runPhase(ctx, op, *rel, phaseRelease, release, hint, out)
	rel.Output += output
	return err
}

// scriptProcess is how a line of a script is started in a release's image.
func (phs *phases) scriptProcess(ctx context.Context, rel daemon.Release, line string) (daemon.Process, error) {
	image, err := phs.Engine.Image(ctx, rel.Image)
	return lineProcess(rel, image.Entrypoint, line), err
}

const opPostdeploy = "postdeploy"

func (phs *phases) postdeployKind() journal.Kind {
	return journal.Kind{Name: opPostdeploy, Text: "a postdeploy script", Of: journal.OfApp, When: journal.RecoveredAfter,
		Steps: []string{"due", "run"}, Recover: phs.recoverPostdeploy}
}

// postdeployData are the scripts that are due.
type postdeployData struct {
	Version int      `json:"version"`
	Scripts []string `json:"scripts"`
}

// isDue records, in the transaction that makes a release current, the scripts that are due then.
func (phs *phases) isDue(tx daemon.Tx, rel daemon.Release, lines []string) (*journal.Operation, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	return phs.Journal.Insert(tx, opPostdeploy, rel.App, rel.Member, "due", postdeployData{rel.Version, lines})
}

// runDue runs the scripts that are due, if there are any. The release serves: one that fails is
// told, and takes nothing back. The app is locked.
func (phs *phases) runDue(ctx context.Context, op *journal.Operation, out io.Writer) error {
	if op == nil {
		return nil
	}
	phs.Journal.Reached(opPostdeploy + ":due") // recorded with what came before it
	data, err := journal.Decode[postdeployData](op.Operation)
	if err != nil {
		return err
	}
	rel, err := phs.Release(ctx, op.Subject, data.Version)
	if err != nil {
		return err
	}
	if err := op.Next(ctx, "run", nil); err != nil {
		return err
	}
	for _, line := range data.Scripts {
		p, err := phs.scriptProcess(ctx, rel, line)
		if err == nil {
			_, err = phs.runPhase(ctx, op, rel, phasePostdeploy, p, "the release serves. To run it again: "+runAgain(op.Subject, line), out)
		}
		if errors.Is(context.Cause(ctx), daemon.ErrClosing) {
			return daemon.ErrClosing
		}
		if err != nil {
			phs.tellFailed(op.Subject, err, out)
		}
	}
	return phs.Life.Outlast(ctx, out, func(ctx context.Context) error { return phs.endPostdeploy(ctx, op) })
}

// endPostdeploy leaves nothing of it.
func (phs *phases) endPostdeploy(ctx context.Context, op *journal.Operation) error {
	err := phs.Containers.RemoveWhere(ctx, map[string]string{daemon.LabelApp: op.Subject, daemon.LabelKind: daemon.KindRelease}, func(c daemon.Container) bool {
		return c.Labels[daemon.LabelOperation] == fmt.Sprint(op.ID)
	})
	if err != nil {
		return err
	}
	return op.Finish(ctx)
}

func runAgain(app, line string) string {
	return "towline run " + shell.Join([]string{line}) + " -a " + app
}

func (phs *phases) tellFailed(app string, err error, out io.Writer) {
	text := work.WithHint(err)
	work.Warn(out, "%s", text)
	phs.Logs.Write(app, "system", "postdeploy", text)
}

// recoverPostdeploy runs what was due. What was cut short is not begun again: it may have done
// half of what it does.
func (phs *phases) recoverPostdeploy(ctx context.Context, op *journal.Operation) error {
	if op.Step == "due" {
		return phs.runDue(ctx, op, nil)
	}
	data, err := journal.Decode[postdeployData](op.Operation)
	if err != nil {
		return err
	}
	for _, line := range data.Scripts {
		phs.Logs.Write(op.Subject, "system", "postdeploy", "The postdeploy script was cut short, as Towline was stopped. To run it again: "+runAgain(op.Subject, line))
	}
	return phs.endPostdeploy(ctx, op)
}
