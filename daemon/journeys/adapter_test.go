package journeys

import (
	"bytes"
	"context"
	"errors"
	"io"

	"towline/daemon"
	"towline/daemon/addons"
	"towline/daemon/apps"
	"towline/daemon/backups"
	"towline/daemon/ci"
	"towline/daemon/conform"
	"towline/daemon/faults"
	"towline/daemon/machine"
	"towline/daemon/pipelines"
)

// This file is the one place that knows how a daemon is made and asked.

// towline is what users reach.
type towline struct{ *machine.Machine }

// newTowline makes a daemon at the end of a line to its neighbours.
func newTowline(l *faults.Line, o machine.Options) towline {
	o.Engine, o.Router, o.Store = faults.Engine{Line: l, To: o.Engine}, faults.Router{Line: l, To: o.Router}, faults.Store{Line: l, To: o.Store}
	o.Builder, o.Repositories, o.Keys = faults.Builder{Line: l, To: o.Builder}, faults.Repositories{Line: l, To: o.Repositories}, faults.Keys{Line: l, To: o.Keys}
	o.Vault, o.Offsite = faults.Vault{Line: l, To: o.Vault}, faults.Offsite{Line: l, To: o.Offsite}
	return towline{machine.New(o)}
}

// superviseUntil starts again what dies, and copies backups offsite.
func (d towline) superviseUntil(ctx context.Context) {
	go func() { _ = d.Supervisor.Run(ctx) }()
	go d.Copies.Run(ctx)
}

// begin makes the world agree with the state, as at the start of the program.
func (d towline) begin(ctx context.Context) error { return d.Reconcile(ctx) }

func (d towline) createApp(ctx context.Context, app string) error {
	_, err := d.Apps.Create(ctx, app, "")
	return err
}

func (d towline) deploy(ctx context.Context, app string, source []byte) error {
	_, err := d.Releases.Deploy(ctx, apps.DeployRequest{App: app, Commit: "0123456789abcdef", Source: bytes.NewReader(source)}, io.Discard)
	return err
}

func (d towline) set(ctx context.Context, app, key, value string) error {
	_, err := d.Releases.SetConfig(ctx, apps.ConfigChange{App: app, Set: map[string]string{key: value}}, io.Discard)
	return err
}

func (d towline) scale(ctx context.Context, app, process string, n int) error {
	_, err := d.Processes.Scale(ctx, app, "", []apps.Change{{Type: process, Count: n}}, io.Discard)
	return err
}

func (d towline) allow(ctx context.Context, app string, capabilities ...string) error {
	_, err := d.Processes.SetCapabilities(ctx, app, "", capabilities, io.Discard)
	return err
}

func (d towline) restart(ctx context.Context, app string) error {
	return d.Processes.Restart(ctx, app, "", "", io.Discard)
}

func (d towline) run(ctx context.Context, app string) error {
	_, err := d.Processes.Run(ctx, apps.RunRequest{App: app, Command: []string{"once"}, Streams: daemon.Streams{Stdout: io.Discard, Stderr: io.Discard}})
	return err
}

func (d towline) rollback(ctx context.Context, app string) error {
	_, err := d.Releases.Rollback(ctx, app, "", 0, io.Discard)
	return err
}

func (d towline) rollbackWithData(ctx context.Context, app string, version int) error {
	_, err := d.Restores.RollbackWithData(ctx, app, "", version, io.Discard)
	return err
}

func (d towline) destroyApp(ctx context.Context, app string) error {
	return d.Apps.Destroy(ctx, app, "", io.Discard)
}

func (d towline) renameApp(ctx context.Context, app, to string) error {
	return d.Apps.Rename(ctx, app, to, "", io.Discard)
}

func (d towline) createAddon(ctx context.Context, app, name, prefix string) error {
	_, err := d.Addons.Provision(ctx, addons.ProvisionRequest{App: app, Service: "store", Name: name, Prefix: prefix}, io.Discard)
	return err
}

func (d towline) destroyAddon(ctx context.Context, name string) error {
	return d.Addons.Deprovision(ctx, addons.DeprovisionRequest{Addon: name}, io.Discard)
}

func (d towline) attach(ctx context.Context, addon, app string) error {
	_, err := d.Attachments.Attach(ctx, addons.AttachRequest{Addon: addon, App: app}, io.Discard)
	return err
}

func (d towline) alias(ctx context.Context, addon, app string, aliases map[string]string) error {
	_, err := d.Attachments.Attach(ctx, addons.AttachRequest{Addon: addon, App: app, Aliases: aliases}, io.Discard)
	return err
}

func (d towline) detach(ctx context.Context, addon, app string) error {
	return d.Attachments.Detach(ctx, addon, app, "", io.Discard)
}

func (d towline) restartAddon(ctx context.Context, addon string) error {
	return d.Addons.Restart(ctx, addon, "", io.Discard)
}

func (d towline) rotate(ctx context.Context, addon string) error {
	return d.Attachments.Rotate(ctx, addon, "", io.Discard)
}

func (d towline) upgrade(ctx context.Context, addon, version string) error {
	_, err := d.Addons.Upgrade(ctx, addons.UpgradeRequest{Addon: addon, Version: version}, io.Discard)
	return err
}

func (d towline) capture(ctx context.Context, addon string) (string, error) {
	b, err := d.Backups.Capture(ctx, addon, "", daemon.ReasonManual, io.Discard)
	return b.ID, err
}

func (d towline) verify(ctx context.Context, backup string) error {
	_, err := d.Proofs.Verify(ctx, backup, "", io.Discard)
	return err
}

func (d towline) deleteBackup(ctx context.Context, id string) error {
	return d.Backups.Delete(ctx, id, "")
}

func (d towline) restore(ctx context.Context, backup, to string, dump io.Reader) error {
	_, err := d.Restores.Restore(ctx, backups.RestoreRequest{Backup: backup, To: to, Dump: dump}, io.Discard)
	return err
}

func (d towline) backupsOnRelease(ctx context.Context, app string) error {
	return d.Restores.SetReleaseBackups(ctx, app, "", true)
}

func (d towline) checkPlugin(ctx context.Context, dir string) error {
	_, err := d.Suite.Check(ctx, conform.PluginCheck{Source: dir, Run: true}, io.Discard)
	return err
}

func (d towline) addDomain(ctx context.Context, app, host string) error {
	_, err := d.Routes.AddDomain(ctx, app, "", host)
	return err
}

func (d towline) maintenance(ctx context.Context, app string, on bool) error {
	return d.Routes.SetMaintenance(ctx, app, "", on)
}

func (d towline) pipeline(ctx context.Context, name string, stages map[string]daemon.Stage) error {
	_, err := d.Pipelines.Create(ctx, name, "", "", "")
	for app, stage := range stages {
		_, cerr := d.Pipelines.Couple(ctx, daemon.Coupling{App: app, Pipeline: name, Stage: stage}, "", false)
		err = errors.Join(err, cerr)
	}
	return err
}

func (d towline) promote(ctx context.Context, app string, to ...string) error {
	plan, err := d.Pipelines.Plan(ctx, app, to)
	if err != nil {
		return err
	}
	for _, p := range d.Pipelines.Promote(ctx, plan, "", io.Discard) {
		if p.Status == pipelines.Failed {
			return p.Err
		}
	}
	return err
}

// test runs an app's tests; an error tells that they did not succeed.
func (d towline) test(ctx context.Context, app string, source []byte) error {
	run, err := d.Tests.Run(ctx, ci.Request{App: app, Branch: "topic/x", Commit: "0123456789abcdef", Source: bytes.NewReader(source)}, io.Discard)
	if err == nil && run.Status != daemon.TestSucceeded {
		err = daemon.Errorf(daemon.Failed, "%s: %s", run.Status, run.Error)
	}
	return err
}
