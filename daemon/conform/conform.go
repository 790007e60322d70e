// Package conform takes a plugin through an add-on's life on real containers, and tells whether
// it is one that Towline can keep.
package conform

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"towline/daemon"
	"towline/daemon/addons"
	"towline/daemon/apps"
	"towline/daemon/backups"
	"towline/daemon/container"
	"towline/daemon/journal"
	"towline/daemon/work"
	"towline/plugins"
)

// Suite checks plugins.
type Suite struct{ Options }

// The rooms that an add-on's life is made of.
type (
	AppRoom    = apps.Room
	AddonRoom  = addons.Room
	BackupRoom = backups.Room
)

// Options are what a Suite is made of. All are required.
type Options struct {
	Store      daemon.Store
	Engine     daemon.Engine
	Catalog    *plugins.Catalog
	Life       *work.Life
	Journal    *journal.Journal
	Containers *container.Containers
	AppRoom
	AddonRoom
	BackupRoom
}

// New returns the suite.
func New(o Options) *Suite { return &Suite{o} }

// Kinds are the kinds of operation that a check is.
func (s *Suite) Kinds() []journal.Kind { return []journal.Kind{s.conformKind()} }

// PluginCheck asks whether a plugin is good.
type PluginCheck struct {
	Source, Member string
	Run            bool   // on real containers
	Version        string // to run; empty: the default
}

// Check loads a plugin's manifest and, if asked to run it, takes it through an add-on's
// life on real containers: create, write, restart, attach, rotate, back up, restore,
// upgrade, destroy. What it makes is gone when it returns.
func (s *Suite) Check(ctx context.Context, req PluginCheck, out io.Writer) (addons.PluginInfo, error) {
	unlock, err := s.Plugins.LockPlugins(ctx)
	if err != nil {
		return addons.PluginInfo{}, err
	}
	defer unlock()
	m, clean, err := s.Plugins.FindPlugin(ctx, req.Source, out)
	if err != nil {
		return addons.PluginInfo{}, err
	}
	defer clean()
	info := s.Plugins.PluginInfo(m, nil)
	if !req.Run {
		return info, nil
	}
	ctx, cancel := s.Life.Detach(ctx)
	defer cancel()
	return info, s.conform(ctx, m, req, out)
}

const opConform = "conform"

// conformKind is recovered before others: those that a check is made of can't be, without
// its manifest.
func (s *Suite) conformKind() journal.Kind {
	return journal.Kind{Name: opConform, Text: "a check of a plugin", Of: journal.OfCheck, Shared: true, When: journal.RecoveredBefore,
		Steps: []string{"run"}, Recover: s.recoverCheck}
}

// conformance is one run of the suite.
type conformance struct {
	*Suite
	m       *plugins.Manifest
	member  string
	version string
	out     io.Writer
	app     string
	addon   string
	facts   string // of the verification, last
}

func (s *Suite) conform(ctx context.Context, m *plugins.Manifest, req PluginCheck, out io.Writer) (err error) {
	c := &conformance{Suite: s, m: m, member: req.Member, version: req.Version, out: out, app: "plugincheck-" + strings.ToLower(rand.Text()[:8])}
	c.addon = c.app + "-addon"
	forget := s.Catalog.Try(c.addon, m)
	defer forget()
	op, err := s.Journal.Begin(ctx, opConform, c.app, daemon.Activity{Member: req.Member}, "run", nil)
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
		if _, err := s.Apps.Create(ctx, app, req.Member); err != nil {
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
			return daemon.Errorf(daemon.Failed, "%s: %w", check.name, err).WithHint("the service's last output:\n%s", s.Containers.Tail(c.container(ctx)))
		}
	}
	work.Stage(out, "Check: destroy")
	return c.destroy(ctx)
}

func (c *conformance) apps() []string { return []string{c.app, c.app + "-2"} }

func (c *conformance) container(ctx context.Context) string {
	a, err := c.Addons.Addon(ctx, c.addon)
	if err != nil {
		return ""
	}
	return c.Services.ContainerName(a)
}

func (c *conformance) create(ctx context.Context) error {
	req := addons.ProvisionRequest{App: c.app, Member: c.member, Service: c.addon, Name: c.addon, Version: c.version}
	if _, err := c.Addons.Provision(ctx, req, c.out); err != nil {
		return err
	}
	config, err := c.Releases.Config(ctx, c.app)
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
	return c.act(ctx, func(spec plugins.Spec) plugins.Action { return spec.Verify })
}

func (c *conformance) act(ctx context.Context, which func(plugins.Spec) plugins.Action) (string, error) {
	a, err := c.Addons.Addon(ctx, c.addon)
	if err != nil {
		return "", err
	}
	spec, err := c.Services.Render(a)
	if err != nil {
		return "", err
	}
	action := which(spec)
	if len(action.Command) == 0 {
		return "", nil
	}
	text, err := c.Services.Exec(ctx, c.Services.ContainerName(a), action)
	return strings.TrimSpace(text), err
}

// use writes a sample, which the verification must see.
func (c *conformance) use(ctx context.Context) error {
	if len(c.m.Sample.Command) == 0 {
		work.Say(c.out, "       The manifest has no [sample]: that data is kept is not shown")
		return nil
	}
	if _, err := c.act(ctx, func(spec plugins.Spec) plugins.Action { return spec.Sample }); err != nil {
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
	if err := c.Addons.Restart(ctx, c.addon, c.member, c.out); err != nil {
		return err
	}
	return c.same(ctx)
}

func (c *conformance) attach(ctx context.Context) error {
	app := c.app + "-2"
	req := addons.AttachRequest{Addon: c.addon, App: app, Member: c.member, Prefix: "OTHER"}
	if _, err := c.Attachments.Attach(ctx, req, c.out); err != nil {
		return err
	}
	if err := c.Attachments.Detach(ctx, c.addon, app, c.member, c.out); err != nil {
		return err
	}
	config, err := c.Releases.Config(ctx, app)
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
	before, err := c.Releases.Config(ctx, c.app)
	if err != nil {
		return err
	}
	if err := c.Attachments.Rotate(ctx, c.addon, c.member, c.out); err != nil {
		return err
	}
	after, err := c.Releases.Config(ctx, c.app)
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
	b, err := c.Backups.Capture(ctx, c.addon, c.member, daemon.ReasonManual, c.out)
	if err != nil {
		return err
	}
	if _, err := c.act(ctx, func(spec plugins.Spec) plugins.Action { return spec.Sample }); err != nil {
		return err
	}
	if _, err := c.Restores.Restore(ctx, backups.RestoreRequest{Backup: b.ID, Member: c.member}, c.out); err != nil {
		return err
	}
	return c.same(ctx)
}

// upgrade moves to another plan, if there is one, and to the first version that the
// manifest leads to.
func (c *conformance) upgrade(ctx context.Context) error {
	a, err := c.Addons.Addon(ctx, c.addon)
	if err != nil {
		return err
	}
	var steps []addons.UpgradeRequest
	if i := slices.IndexFunc(c.m.PlanNames(), func(plan string) bool { return plan != c.m.DefaultPlan }); i >= 0 {
		steps = append(steps, addons.UpgradeRequest{Addon: c.addon, Member: c.member, Plan: c.m.PlanNames()[i]})
	}
	if next := c.m.Upgrades[a.Version]; len(next) > 0 {
		steps = append(steps, addons.UpgradeRequest{Addon: c.addon, Member: c.member, Version: next[0]})
	}
	for _, req := range steps {
		if _, err := c.Addons.Upgrade(ctx, req, c.out); err != nil {
			return err
		}
		if err := c.same(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *conformance) destroy(ctx context.Context) error {
	if err := c.Addons.Deprovision(ctx, addons.DeprovisionRequest{Addon: c.addon, Member: c.member, Force: true}, c.out); err != nil {
		return err
	}
	containers, err := c.Engine.ContainerList(ctx, map[string]string{daemon.LabelAddon: c.addon})
	if err != nil {
		return err
	}
	volumes, err := c.Engine.Volumes(ctx)
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
	if _, err := c.Addons.Addon(ctx, c.addon); err == nil {
		errs = append(errs, c.Addons.Deprovision(ctx, addons.DeprovisionRequest{Addon: c.addon, Member: c.member, Force: true}, nil))
	}
	backups, err := daemon.Read(ctx, c.Store, func(tx daemon.Tx) ([]daemon.Backup, error) { return tx.Backups(c.addon) })
	errs = append(errs, err)
	for _, b := range backups {
		errs = append(errs, c.Backups.Delete(ctx, b.ID, c.member))
	}
	for _, app := range c.apps() {
		if err := c.Apps.Destroy(ctx, app, c.member, nil); err != nil && !daemon.IsKind(err, daemon.NotFound) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// recoverCheck removes what a check left, with all operations that it was made of.
func (s *Suite) recoverCheck(ctx context.Context, op *journal.Operation) error {
	all, err := daemon.Read(ctx, s.Store, daemon.Tx.Operations)
	if err != nil {
		return err
	}
	c := &conformance{Suite: s, member: op.Member, app: op.Subject, addon: op.Subject + "-addon"}
	attached, err := s.Addons.Attachments(ctx, c.addon)
	if err != nil {
		return err
	}
	if err := s.Services.RemoveService(ctx, c.addon); err != nil {
		return err
	}
	err = s.Store.Update(ctx, func(tx daemon.Tx) error {
		for _, o := range all {
			if o.Subject == c.addon || slices.Contains(c.apps(), o.Subject) && o.ID != op.ID {
				if err := tx.DeleteOperation(o.ID); err != nil {
					return err
				}
			}
		}
		for _, at := range attached {
			if err := addons.ForgetAttachment(tx, at); err != nil {
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
