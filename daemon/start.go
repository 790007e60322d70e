package daemon

import (
	"context"
	"errors"
	"sync"
	"time"

	"towline/plugins"
)

const (
	// startPatience is how long Reconcile waits for everything to serve. One app that
	// never becomes ready must not keep the daemon from its users.
	startPatience = 10 * time.Second
	startsAtOnce  = 4 // add-ons and apps
)

// starts is the bringing up of all that should run, at the daemon's start.
type starts struct {
	d     *Daemon
	slots chan struct{}
	first sync.WaitGroup // attempts
}

// startAll starts every add-on, and every app once those attached to it have had their
// first attempt: after a reboot, everything. It goes on in the background when that
// takes long, and for as long as something does not start.
func (d *Daemon) startAll(ctx context.Context) error {
	var addons []Addon
	var apps []App
	var attached []AddonAttachment
	err := d.Store.View(ctx, func(tx Tx) (err error) {
		var errs [3]error
		addons, errs[0] = tx.Addons()
		apps, errs[1] = tx.Apps()
		attached, errs[2] = tx.Attachments()
		return errors.Join(errs[:]...)
	})
	if err != nil {
		return err
	}
	s := &starts{d: d, slots: make(chan struct{}, startsAtOnce)}
	tried := map[string]<-chan struct{}{} // by add-on
	for _, a := range addons {
		tried[a.Name] = s.launch(nil, func(ctx context.Context) error { return d.startAddon(ctx, a.Name) },
			func(err error, wait time.Duration) {
				d.sayAddon(d.closing, a.Name, "start: %v; trying again in %s", err, wait)
			})
	}
	for _, app := range apps {
		var after []<-chan struct{}
		for _, at := range attached {
			if at.App == app.Name {
				after = append(after, tried[at.Addon])
			}
		}
		s.launch(after, func(ctx context.Context) error { return d.converge(ctx, app.Name) },
			func(err error, wait time.Duration) {
				d.Log.Error("start app", "app", app.Name, "err", err, "again in", wait)
				d.Logs.Write(app.Name, "system", "start", err.Error()+"; trying again in "+wait.String())
			})
	}
	go func() { s.first.Wait(); close(d.started) }()
	select {
	case <-d.started:
		return nil
	case <-time.After(startPatience):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// launch calls start in the background until it succeeds, with back-off. tried is
// closed after the first attempt, which comes when all of after are.
func (s *starts) launch(after []<-chan struct{}, start func(context.Context) error, failed func(error, time.Duration)) (tried <-chan struct{}) {
	first := make(chan struct{})
	s.first.Add(1)
	s.d.goBackground(func(ctx context.Context) {
		ended := sync.OnceFunc(func() { close(first); s.first.Done() })
		defer ended()
		for _, c := range after {
			select {
			case <-c:
			case <-ctx.Done():
			}
		}
		for wait := time.Second; ; wait = min(2*wait, maxBackoff) {
			select {
			case s.slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			err := try("the start of an app or add-on", func() error { return start(ctx) })
			<-s.slots
			if err == nil || ctx.Err() != nil {
				return
			}
			failed(err, wait)
			ended()
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
		}
	})
	return first
}

// startAddon starts an add-on that should be running, and waits for its probe. One that
// is gone is no error.
func (d *Daemon) startAddon(ctx context.Context, name string) error {
	a, spec, err := d.launchAddon(ctx, name)
	if err != nil || a.Status != AddonReady {
		return err
	}
	// Without the lock: what never answers can be restored or destroyed meanwhile.
	if err := d.awaitService(ctx, d.addonContainer(a), spec); err != nil {
		return err
	}
	return d.syncPage(ctx, a)
}

// launchAddon starts the container of an add-on that should be running; the add-on that
// it returns tells whether it should.
func (d *Daemon) launchAddon(ctx context.Context, name string) (Addon, plugins.Spec, error) {
	unlock, err := d.lockAddon(ctx, name, nil)
	if err != nil {
		return Addon{}, plugins.Spec{}, err
	}
	defer unlock()
	a, err := d.Addon(ctx, name)
	if isKind(err, NotFound) || err == nil && a.Status != AddonReady {
		return Addon{}, plugins.Spec{}, nil
	}
	if err != nil {
		return Addon{}, plugins.Spec{}, err
	}
	apps, err := d.attachedApps(ctx, name)
	if err != nil {
		return Addon{}, plugins.Spec{}, err
	}
	spec, err := d.launchService(ctx, a, apps, nil)
	return a, spec, err
}

// converge starts what is missing of an app's current release and retires the rest.
// An app that is gone is no error.
func (d *Daemon) converge(ctx context.Context, app string) error {
	unlock, err := d.lockApp(ctx, app, nil)
	if err != nil {
		return err
	}
	defer unlock()
	a, err := d.App(ctx, app)
	if isKind(err, NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	rel, err := d.Release(ctx, app, 0)
	if isKind(err, NotFound) || err == nil && rel.Image == "" {
		return nil
	}
	if err != nil {
		return err
	}
	return d.reroll(ctx, "", &rollout{release: rel, formation: a.Formation, version: rel.Version}, nil)
}
