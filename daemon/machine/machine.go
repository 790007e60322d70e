// Package machine wires the rooms, starts them in order and brings back what was cut short.
package machine

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"towline/daemon"
	"towline/daemon/activity"
	"towline/daemon/addons"
	"towline/daemon/apps"
	"towline/daemon/backups"
	"towline/daemon/ci"
	"towline/daemon/conform"
	"towline/daemon/container"
	"towline/daemon/handles"
	"towline/daemon/journal"
	"towline/daemon/metrics"
	"towline/daemon/people"
	"towline/daemon/pipelines"
	"towline/daemon/supervise"
	"towline/daemon/work"
	"towline/plugins"
)

// Options are what a Machine is made of. Every field but Fault, Offsite, DiskShort, InputIdle, and those that
// measure, is required.
type Options struct {
	Name   string // of the installation: begins the name of everything it makes
	Dir    string // state directory
	Domain string // apps are served below it
	Port   string // of HTTPS, where it is not the usual one
	Remote string // git remote of an app but for its name, e.g. "ssh://towline@host:22/"

	Limits daemon.Limits // of each process, one-off and release phase
	Bounds apps.Bounds

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

	// What measures, and keeps that. Nil: nothing is measured.
	Traffic daemon.TrafficCounter
	Meters  daemon.Meters
	History daemon.History

	// Fault is called at every recorded step (see package journal), for tests that
	// kill the daemon there. May be nil.
	Fault func(point string)

	// DiskShort is a directory whose disk has less free than has to stay so; empty: none has. May be nil.
	DiskShort func(context.Context) (string, error)

	// InputIdle is the longest time between two bytes of what a user sends; zero: minutes.
	InputIdle time.Duration
}

// The rooms, each by the names of what there is in it.
type (
	AppRoom    = apps.Room
	AddonRoom  = addons.Room
	BackupRoom = backups.Room
)

// Machine is all of Towline's rooms, wired. What users can do are methods of the rooms, each
// safe to call at any time from any goroutine.
type Machine struct {
	Options
	AppRoom
	AddonRoom
	BackupRoom
	People     *people.People
	Activity   *activity.Log
	Suite      *conform.Suite
	Supervisor *supervise.Supervisor
	Pipelines  *pipelines.Pipelines
	Tests      *ci.Tests
	Metrics    *metrics.Metrics

	Life       *work.Life
	Locks      *work.Locks
	Ballast    work.Ballast
	Journal    *journal.Journal
	Containers *container.Containers

	attempts attempts
	started  chan struct{} // see Started

	// Bounds, which tests shorten.
	recoverPatience, startPatience, slotPatience time.Duration
}

// Started is closed once all that should run has been started, or tried.
func (m *Machine) Started() <-chan struct{} { return m.started }

// New wires the rooms. Call Reconcile before the first use and Close after the last.
func New(o Options) *Machine {
	hs := handles.New()
	// Measurements go by handle, so that a renamed app keeps its own.
	measured := metrics.New(metrics.Options{
		Name: o.Name, Store: o.Store, Engine: o.Engine, Logs: o.Logs, Traffic: o.Traffic, Meters: o.Meters, History: o.History, Log: o.Log,
	})
	o.Engine, o.Builder, o.Router = hs.Engine(o.Engine), hs.Builder(o.Builder), hs.Router(o.Router)
	o.Repositories, o.Logs = hs.Repositories(o.Repositories), hs.Logs(o.Logs)
	m := &Machine{
		Options: o, Life: work.NewLife(o.Log), Locks: &work.Locks{}, Ballast: work.Ballast(filepath.Join(o.Dir, "ballast")),
		Containers:      &container.Containers{Name: o.Name, Engine: o.Engine, Handles: hs},
		Metrics:         measured,
		started:         make(chan struct{}),
		recoverPatience: recoverPatience, startPatience: startPatience, slotPatience: slotPatience,
	}
	m.Journal = journal.New(journal.Options{Store: o.Store, Locks: m.Locks, Life: m.Life, Fault: o.Fault})
	m.Activity = &activity.Log{Store: o.Store}
	m.People = people.New(people.Options{Store: o.Store, Keys: o.Keys, Locks: m.Locks})
	m.AppRoom = apps.New(apps.Options{
		Name: o.Name, Dir: o.Dir, Domain: o.Domain, Port: o.Port, Remote: o.Remote, Limits: o.Limits, Bounds: o.Bounds,
		Store: o.Store, Engine: o.Engine, Builder: o.Builder, Router: o.Router, Repositories: o.Repositories,
		Unpacker: o.Unpacker, Logs: o.Logs, Log: o.Log, InputIdle: o.InputIdle,
		Locks: m.Locks, Life: m.Life, Journal: m.Journal, Containers: m.Containers, People: m.People,
	})
	m.Pipelines = pipelines.New(pipelines.Options{Store: o.Store, Repositories: o.Repositories, Releases: m.Releases, People: m.People})
	m.AddonRoom = addons.New(addons.Options{
		Name: o.Name, Dir: o.Dir, Domain: o.Domain, Port: o.Port,
		Store: o.Store, Engine: o.Engine, Router: o.Router, Logs: o.Logs, Vault: o.Vault, Catalog: o.Catalog, Log: o.Log,
		Locks: m.Locks, Life: m.Life, Journal: m.Journal, Containers: m.Containers, People: m.People, AppRoom: m.AppRoom,
	})
	m.Tests = ci.New(ci.Options{
		Dir: o.Dir, Limits: o.Limits, Short: o.DiskShort, Store: o.Store, Engine: o.Engine, Builder: o.Builder, Logs: o.Logs, Log: o.Log,
		Life: m.Life, Journal: m.Journal, Containers: m.Containers, Pipelines: m.Pipelines, AppRoom: m.AppRoom, AddonRoom: m.AddonRoom,
	})
	m.BackupRoom = backups.New(backups.Options{
		Name: o.Name, Dir: o.Dir,
		Store: o.Store, Engine: o.Engine, Router: o.Router, Logs: o.Logs, Vault: o.Vault, Offsite: o.Offsite, Log: o.Log,
		InputIdle: o.InputIdle, Ballast: m.Ballast,
		Locks: m.Locks, Life: m.Life, Journal: m.Journal, Containers: m.Containers, People: m.People,
		AppRoom: m.AppRoom, AddonRoom: m.AddonRoom,
	})
	m.Suite = conform.New(conform.Options{
		Store: o.Store, Engine: o.Engine, Catalog: o.Catalog, Life: m.Life, Journal: m.Journal, Containers: m.Containers,
		AppRoom: m.AppRoom, AddonRoom: m.AddonRoom, BackupRoom: m.BackupRoom,
	})
	m.Supervisor = supervise.New(supervise.Options{
		Engine: o.Engine, Life: m.Life, Crashes: &m.Containers.Crashes, Log: o.Log, Started: m.started, Counter: m.Metrics,
		Owners: map[string]supervise.Owner{
			daemon.KindProcess: apps.Supervised{Processes: m.Processes}, daemon.KindAddon: addons.Supervised{Services: m.Services},
		},
	})

	// What a room below has one above do, at the hooks that it declares.
	m.Releases.OnRelease(m.Restores)
	m.Releases.OnFirstDeploy(m.Addons)
	m.Addons.BackUpBy(m.Backups)
	m.Addons.OnRemoval(m.Restores)
	m.People.OnChange(m.Pages.EndForbiddenPages)
	m.Journal.Declare(m.AppRoom.Kinds()...)
	m.Journal.Declare(m.AddonRoom.Kinds()...)
	m.Journal.Declare(m.BackupRoom.Kinds()...)
	m.Journal.Declare(m.Tests.Kinds()...)
	m.Journal.Declare(m.Suite.Kinds()...)
	return m
}

// LearnHandles reads the handles of all apps. Reconcile does so first; a restore, which comes
// before that, asks for it.
func (m *Machine) LearnHandles(ctx context.Context) error {
	apps, err := daemon.Read(ctx, m.Store, daemon.Tx.Apps)
	if err != nil {
		return err
	}
	m.Containers.Handles.Load(apps)
	return nil
}

// Close stops background work and waits for it. What it cuts short is in the
// journal, for the next Reconcile.
func (m *Machine) Close() {
	m.Life.Close()
}
