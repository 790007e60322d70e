package machine

import (
	"log/slog"
	"path/filepath"
	"time"

	"towline/daemon"
	"towline/daemon/container"
	"towline/daemon/journal"
	"towline/daemon/people"
	"towline/daemon/work"
	"towline/plugins"
)

// Options are what a Daemon is made of. Every field but Fault, Offsite and InputIdle is required.
type Options struct {
	Name   string // of the installation: begins the name of everything it makes
	Dir    string // state directory
	Domain string // apps are served below it
	Port   string // of HTTPS, where it is not the usual one
	Remote string // git remote of an app but for its name, e.g. "ssh://towline@host:22/"

	Limits daemon.Limits // of each process, one-off and release phase
	Bounds Bounds

	Store        daemon.Store
	Engine       daemon.Engine
	Builder      daemon.Builder
	Router       daemon.Router
	Repositories daemon.Repositories
	Unpacker     daemon.Unpacker
	Keys         daemon.Keys
	Logs         daemon.Logs
	Vault        daemon.Vault
	Offsite      daemon.Offsite // nil: none
	Catalog      *plugins.Catalog
	Log          *slog.Logger

	// Fault is called at every recorded step (see package journal), for tests that
	// kill the daemon there. May be nil.
	Fault func(point string)

	// InputIdle is the longest time between two bytes of what a user sends; zero: minutes.
	InputIdle time.Duration
}

// Daemon is Towline's core. Its exported methods are what users can do; each is
// safe to call at any time from any goroutine.
type Daemon struct {
	Options
	Locks      *work.Locks
	Ballast    work.Ballast
	Life       *work.Life
	Journal    *journal.Journal
	Containers *container.Containers
	People     *people.People

	supervisor supervisor
	scheduler  scheduler
	tunnels    tunnels
	offsite    chan struct{} // wakes RunOffsite
	pages      chan struct{} // wakes RunPages
	started    chan struct{} // closed once all that should run has been started, or tried
	attempts   attempts

	// Bounds, which tests shorten.
	recoverPatience, startPatience, slotPatience, actionLimit time.Duration
	pauseWait                                                 time.Duration
}

// New returns a Daemon. Call Reconcile before its first use and Close after its last.
func New(o Options) *Daemon {
	d := &Daemon{Options: o, pauseWait: pauseWait,
		recoverPatience: recoverPatience, startPatience: startPatience, slotPatience: slotPatience, actionLimit: actionLimit}
	d.Locks = &work.Locks{}
	d.Ballast = work.Ballast(filepath.Join(d.Dir, "ballast"))
	d.Life = work.NewLife(o.Log)
	d.Journal = journal.New(journal.Options{Store: o.Store, Locks: d.Locks, Life: d.Life, Fault: o.Fault})
	d.Containers = &container.Containers{Name: o.Name, Engine: o.Engine}
	d.People = people.New(people.Options{Store: o.Store, Keys: o.Keys, Locks: d.Locks})
	d.Journal.Declare(d.allKinds()...)
	d.People.OnChange(d.endForbiddenPages)
	d.supervisor.reviving = map[string]int{}
	d.started = make(chan struct{})
	d.offsite = make(chan struct{}, 1)
	d.pages = make(chan struct{}, 1)
	d.scheduler = scheduler{running: map[string]bool{}, wake: make(chan struct{}, 1)}
	return d
}

// Close stops background work and waits for it. What it cuts short is in the
// journal, for the next Reconcile.
func (d *Daemon) Close() {
	d.Life.Close()
}
