package machine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"towline/daemon"
	"towline/daemon/journal"
	"towline/daemon/work"
	"towline/plugins"
)

// PluginCheck asks whether a plugin is good.
type PluginCheck struct {
	Source, Member string
	Run            bool   // on real containers
	Version        string // to run; empty: the default
}

// CheckPlugin loads a plugin's manifest and, if asked to run it, takes it through an add-on's
// life on real containers: create, write, restart, attach, rotate, back up, restore,
// upgrade, destroy. What it makes is gone when it returns.
func (d *Daemon) CheckPlugin(ctx context.Context, req PluginCheck, out io.Writer) (PluginInfo, error) {
	unlock, err := d.lockPlugins(ctx)
	if err != nil {
		return PluginInfo{}, err
	}
	defer unlock()
	m, clean, err := d.findPlugin(ctx, req.Source, out)
	if err != nil {
		return PluginInfo{}, err
	}
	defer clean()
	info := d.pluginInfo(m, nil)
	if !req.Run {
		return info, nil
	}
	ctx, cancel := d.Life.Detach(ctx)
	defer cancel()
	return info, d.conform(ctx, m, req, out)
}

const opConform = "conform"

// conformKind is recovered before others: those that a check is made of can't be, without
// its manifest.
func (d *Daemon) conformKind() journal.Kind {
	return journal.Kind{Name: opConform, Text: "a check of a plugin", Of: journal.OfCheck, Shared: true, When: journal.RecoveredBefore,
		Steps: []string{"run"}, Recover: d.recoverCheck}
}

// conformance is one run of the suite.
type conformance struct {
	d       *Daemon
	m       *plugins.Manifest
	member  string
	version string
	out     io.Writer
	app     string
	addon   string
	facts   string // of the verification, last
}

func (d *Daemon) conform(ctx context.Context, m *plugins.Manifest, req PluginCheck, out io.Writer) (err error) {
	c := &conformance{d: d, m: m, member: req.Member, version: req.Version, out: out, app: "plugincheck-" + strings.ToLower(rand.Text()[:8])}
	c.addon = c.app + "-addon"
	forget := d.Catalog.Try(c.addon, m)
	defer forget()
	op, err := d.Journal.Begin(ctx, opConform, c.app, req.Member, "run", nil)
	if err != nil {
		return err
	}
	defer func() {
		ctx := context.WithoutCancel(ctx)
		cerr := c.clean(ctx)
		if cerr == nil {
			cerr = op.Finish(ctx)
		}
		err = errors.Join(err, cerr)
	}()
	for _, app := range c.apps() {
		if _, err := d.CreateApp(ctx, app, req.Member); err != nil {
			return err
		}
	}
	for _, check := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"create", c.create}, {"use", c.use}, {"restart", c.restart}, {"attach", c.attach}, {"rotate", c.rotate},
		{"backup and restore", c.restore}, {"upgrade", c.upgrade},
	} {
		work.Stage(out, "Check: %s", check.name)
		if err := check.run(ctx); err != nil {
			return daemon.Errorf(daemon.Failed, "%s: %w", check.name, err).WithHint("the service's last output:\n%s", d.Containers.Tail(c.container(ctx)))
		}
	}
	work.Stage(out, "Check: destroy")
	return c.destroy(ctx)
}

func (c *conformance) apps() []string { return []string{c.app, c.app + "-2"} }

func (c *conformance) container(ctx context.Context) string {
	a, err := c.d.Addon(ctx, c.addon)
	if err != nil {
		return ""
	}
	return c.d.addonContainer(a)
}

func (c *conformance) create(ctx context.Context) error {
	req := ProvisionRequest{App: c.app, Member: c.member, Service: c.addon, Name: c.addon, Version: c.version}
	if _, err := c.d.Provision(ctx, req, c.out); err != nil {
		return err
	}
	config, err := c.d.Config(ctx, c.app)
	if err != nil {
		return err
	}
	for _, v := range c.m.Vars {
		if config[v.Name] == "" {
			return fmt.Errorf("the app has no %s", v.Name)
		}
	}
	c.facts, err = c.verify(ctx)
	return err
}

// verify runs the manifest's verification in the service itself.
func (c *conformance) verify(ctx context.Context) (string, error) {
	return c.act(ctx, func(s plugins.Spec) plugins.Action { return s.Verify })
}

func (c *conformance) act(ctx context.Context, which func(plugins.Spec) plugins.Action) (string, error) {
	a, err := c.d.Addon(ctx, c.addon)
	if err != nil {
		return "", err
	}
	spec, err := c.d.renderAddon(a)
	if err != nil {
		return "", err
	}
	action := which(spec)
	if len(action.Command) == 0 {
		return "", nil
	}
	text, err := c.d.execIn(ctx, c.d.addonContainer(a), action)
	return strings.TrimSpace(text), err
}

// use writes a sample, which the verification must see.
func (c *conformance) use(ctx context.Context) error {
	if len(c.m.Sample.Command) == 0 {
		work.Say(c.out, "       The manifest has no [sample]: that data is kept is not shown")
		return nil
	}
	if _, err := c.act(ctx, func(s plugins.Spec) plugins.Action { return s.Sample }); err != nil {
		return err
	}
	before := c.facts
	var err error
	if c.facts, err = c.verify(ctx); err == nil && c.facts == before {
		err = fmt.Errorf("the verification says %q, before the sample was written and after", before)
	}
	return err
}

// same tells whether the data is still what it was.
func (c *conformance) same(ctx context.Context) error {
	facts, err := c.verify(ctx)
	if err == nil && facts != c.facts {
		err = fmt.Errorf("the verification says %q; before it said %q", facts, c.facts)
	}
	return err
}

func (c *conformance) restart(ctx context.Context) error {
	if err := c.d.RestartAddon(ctx, c.addon, c.member, c.out); err != nil {
		return err
	}
	return c.same(ctx)
}

func (c *conformance) attach(ctx context.Context) error {
	app := c.app + "-2"
	req := AttachRequest{Addon: c.addon, App: app, Member: c.member, Prefix: "OTHER"}
	if _, err := c.d.Attach(ctx, req, c.out); err != nil {
		return err
	}
	if err := c.d.Detach(ctx, c.addon, app, c.member, c.out); err != nil {
		return err
	}
	config, err := c.d.Config(ctx, app)
	if err == nil && len(config) > 0 {
		err = fmt.Errorf("detached, the app still has %d config vars", len(config))
	}
	return err
}

func (c *conformance) rotate(ctx context.Context) error {
	if len(c.m.Rotate.Command) == 0 {
		work.Say(c.out, "       The manifest has no [rotate]")
		return nil
	}
	before, err := c.d.Config(ctx, c.app)
	if err != nil {
		return err
	}
	if err := c.d.RotateAddon(ctx, c.addon, c.member, c.out); err != nil {
		return err
	}
	after, err := c.d.Config(ctx, c.app)
	if err != nil {
		return err
	}
	changed := false
	for _, v := range c.m.Vars {
		changed = changed || before[v.Name] != after[v.Name]
	}
	if !changed {
		return errors.New("no config var has changed")
	}
	return c.same(ctx)
}

// restore takes a backup, writes more, and goes back.
func (c *conformance) restore(ctx context.Context) error {
	b, err := c.d.Capture(ctx, c.addon, c.member, daemon.ReasonManual, c.out)
	if err != nil {
		return err
	}
	if _, err := c.act(ctx, func(s plugins.Spec) plugins.Action { return s.Sample }); err != nil {
		return err
	}
	if _, err := c.d.Restore(ctx, RestoreRequest{Backup: b.ID, Member: c.member}, c.out); err != nil {
		return err
	}
	return c.same(ctx)
}

// upgrade moves to another plan, if there is one, and to the first version that the
// manifest leads to.
func (c *conformance) upgrade(ctx context.Context) error {
	a, err := c.d.Addon(ctx, c.addon)
	if err != nil {
		return err
	}
	var steps []UpgradeRequest
	if i := slices.IndexFunc(c.m.PlanNames(), func(plan string) bool { return plan != c.m.DefaultPlan }); i >= 0 {
		steps = append(steps, UpgradeRequest{Addon: c.addon, Member: c.member, Plan: c.m.PlanNames()[i]})
	}
	if next := c.m.Upgrades[a.Version]; len(next) > 0 {
		steps = append(steps, UpgradeRequest{Addon: c.addon, Member: c.member, Version: next[0]})
	}
	for _, req := range steps {
		if _, err := c.d.UpgradeAddon(ctx, req, c.out); err != nil {
			return err
		}
		if err := c.same(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *conformance) destroy(ctx context.Context) error {
	if err := c.d.Deprovision(ctx, c.addon, c.member, c.out); err != nil {
		return err
	}
	containers, err := c.d.Engine.ContainerList(ctx, map[string]string{daemon.LabelAddon: c.addon})
	if err != nil {
		return err
	}
	volumes, err := c.d.Engine.Volumes(ctx)
	if err != nil {
		return err
	}
	left := len(containers)
	for _, v := range volumes {
		if v.Labels[daemon.LabelAddon] == c.addon {
			left++
		}
	}
	if left > 0 {
		return daemon.Errorf(daemon.Failed, "destroy: %d containers and volumes are left", left)
	}
	return nil
}

// clean removes what is left, backups and apps too.
func (c *conformance) clean(ctx context.Context) error {
	var errs []error
	if _, err := c.d.Addon(ctx, c.addon); err == nil {
		errs = append(errs, c.d.Deprovision(ctx, c.addon, c.member, nil))
	}
	backups, err := daemon.Read(ctx, c.d.Store, func(tx daemon.Tx) ([]daemon.Backup, error) { return tx.Backups(c.addon) })
	errs = append(errs, err)
	for _, b := range backups {
		errs = append(errs, c.d.DeleteBackup(ctx, b.ID, c.member))
	}
	for _, app := range c.apps() {
		if err := c.d.DestroyApp(ctx, app, c.member, nil); err != nil && !daemon.IsKind(err, daemon.NotFound) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// recoverCheck removes what a check left, with all operations that it was made of.
func (d *Daemon) recoverCheck(ctx context.Context, op *journal.Operation) error {
	all, err := daemon.Read(ctx, d.Store, daemon.Tx.Operations)
	if err != nil {
		return err
	}
	c := &conformance{d: d, member: op.Member, app: op.Subject, addon: op.Subject + "-addon"}
	attached, err := d.attachments(ctx, c.addon)
	if err != nil {
		return err
	}
	if err := d.removeService(ctx, c.addon); err != nil {
		return err
	}
	err = d.Store.Update(ctx, func(tx daemon.Tx) error {
		for _, o := range all {
			if o.Subject == c.addon || slices.Contains(c.apps(), o.Subject) && o.ID != op.ID {
				if err := tx.DeleteOperation(o.ID); err != nil {
					return err
				}
			}
		}
		for _, at := range attached {
			if err := forgetAttachment(tx, at); err != nil {
				return err
			}
		}
		if err := tx.DeleteAddon(c.addon); err != nil && !daemon.IsKind(err, daemon.NotFound) {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.clean(ctx); err != nil {
		return err
	}
	return op.Finish(ctx)
}
