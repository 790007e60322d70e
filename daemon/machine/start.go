package machine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"towline/daemon"
	"towline/daemon/apps"
	"towline/daemon/container"
)

const (
	// startPatience is how long Reconcile waits for everything to serve. One app that
	// never becomes ready must not keep the daemon from its users.
	startPatience = 10 * time.Second
	startsAtOnce  = 4 // add-ons and apps
	// slotPatience is how long one of them keeps the next from its start.
	slotPatience = 30 * time.Second
)

// starts is the bringing up of all that should run, at the daemon's start.
type starts struct {
	d     *Machine
	slots chan struct{}
	first sync.WaitGroup // attempts
}

// found is what there was of all apps as the daemon started.
type found = apps.Found

// startAll starts every add-on, and every app once those attached to it have had their
// first attempt: after a reboot, everything. It goes on in the background when that
// takes long, and for as long as something does not start. Those that are still being
// recovered come after that, and nobody waits for them; those that the daemon went down
// with come last, one by one.
func (d *Machine) startAll(ctx context.Context, busy map[string]<-chan struct{}) error {
	var addons []daemon.Addon
	var apps []daemon.App
	var attached []daemon.AddonAttachment
	err := d.Store.View(ctx, func(tx daemon.Tx) (err error) {
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
	var wave []*launch
	for _, a := range addons {
		l := &launch{
			name: "addon:" + a.Name, recovery: busy["addon:"+a.Name], tried: make(chan struct{}),
			start: func(ctx context.Context) error { return d.Services.StartAddon(ctx, a.Name) },
			failed: func(err error, wait time.Duration) {
				d.Addons.Say(d.Life.Closing(), a.Name, "start: %v; trying again in %s", err, wait)
			},
			barred: func() {
				d.Addons.Say(d.Life.Closing(), a.Name, "%s; towline addons:restart %s tries again", barredText, a.Name)
			},
		}
		tried[a.Name], wave = l.tried, append(wave, l)
	}
	there := sync.OnceValues(func() (found, error) { return d.Processes.Find(ctx) })
	for _, app := range apps {
		first := true
		l := &launch{
			name: "app:" + app.Name, recovery: busy["app:"+app.Name], tried: make(chan struct{}),
			start: func(ctx context.Context) error {
				if !first {
					return d.Processes.Converge(ctx, app.Name, nil)
				}
				first = false
				return d.Processes.Converge(ctx, app.Name, there)
			},
			failed: func(err error, wait time.Duration) {
				d.Log.Error("start app", "app", app.Name, "err", err, "again in", wait)
				d.Logs.Write(app.Name, "system", "start", err.Error()+"; trying again in "+wait.String())
			},
			barred: func() {
				d.Log.Error(barredText, "app", app.Name)
				d.Logs.Write(app.Name, "system", "start", barredText+"; towline ps:restart -a "+app.Name+" tries again")
			},
		}
		for _, at := range attached {
			if at.App == app.Name {
				l.after = append(l.after, tried[at.Addon])
			}
		}
		wave = append(wave, l)
	}
	s.launchAll(wave)
	go func() { s.first.Wait(); close(d.started) }()
	timer := time.NewTimer(d.startPatience)
	defer timer.Stop()
	select {
	case <-d.started:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

const barredText = "towlined went down twice as it started this, and goes on without it"

// launch is the start of one app or add-on.
type launch struct {
	name     string
	after    []<-chan struct{} // the first attempt comes when all are closed
	recovery <-chan struct{}   // not nil: the same, and nobody waits for the first attempt
	tried    chan struct{}     // closed after the first attempt
	start    func(context.Context) error
	failed   func(err error, again time.Duration)
	barred   func() // it must not be tried
}

// launchAll launches all. Suspects, and what is attached to one, wait for the first attempt
// of each other, and then for one another.
func (s *starts) launchAll(all []*launch) {
	var before, suspect []<-chan struct{}
	var last []*launch
	for _, l := range all {
		if s.d.attempts.suspect(l.name) || slices.ContainsFunc(l.after, func(c <-chan struct{}) bool { return slices.Contains(suspect, c) }) {
			suspect, last = append(suspect, l.tried), append(last, l)
			continue
		}
		if l.recovery == nil {
			before = append(before, l.tried)
		}
		s.launch(l)
	}
	for _, l := range last {
		l.after = append(l.after, before...)
		if l.recovery == nil {
			before = append(before, l.tried)
		}
		s.launch(l)
	}
}

// launch calls start in the background until it succeeds, with back-off.
func (s *starts) launch(l *launch) {
	s.first.Add(1)
	ended := sync.OnceFunc(s.first.Done)
	if l.recovery != nil {
		ended()
		l.after = append(l.after, l.recovery)
	}
	s.d.Life.Go(func(ctx context.Context) {
		tried := sync.OnceFunc(func() { close(l.tried); ended() })
		defer tried()
		for _, c := range l.after {
			select {
			case <-c:
			case <-ctx.Done():
				return
			}
		}
		for wait := time.Second; ; wait = min(2*wait, container.MaxBackoff) {
			release, ok := s.slot(ctx)
			if !ok {
				return
			}
			err, barred := s.attempt(ctx, l)
			release()
			if barred || err == nil || ctx.Err() != nil {
				return
			}
			l.failed(err, wait)
			tried()
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
		}
	})
}

// slot waits for one. Who takes long gives it back before release is called.
func (s *starts) slot(ctx context.Context) (release func(), ok bool) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, false
	}
	giveBack := sync.OnceFunc(func() { <-s.slots })
	timer := time.AfterFunc(s.d.slotPatience, giveBack)
	return func() { timer.Stop(); giveBack() }, true
}

func (s *starts) attempt(ctx context.Context, l *launch) (err error, barred bool) {
	ended, ok := s.d.attempts.begin(l.name)
	if !ok {
		l.barred()
		return nil, true
	}
	defer ended()
	return daemon.Try("the start of an app or add-on", func() error { return l.start(ctx) }), false
}
