// Package apps is the room of apps: what is pushed, released, run, routed and configured. It
// knows nothing of add-ons and backups but what the store has of them.
package apps

import (
	"log/slog"
	"time"

	"towline/daemon"
	"towline/daemon/container"
	"towline/daemon/journal"
	"towline/daemon/people"
	"towline/daemon/work"
)

// Options are what the room is made of. Every field but InputIdle is required.
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
	Logs         daemon.Logs
	Log          *slog.Logger

	Locks      *work.Locks
	Life       *work.Life
	Journal    *journal.Journal
	Containers *container.Containers
	People     *people.People

	// InputIdle is the longest time between two bytes of what a user sends; zero: minutes.
	InputIdle time.Duration
}

// Room is what there is to do with apps.
type Room struct {
	Apps      *Apps
	Releases  *Releases
	Processes *Processes
	Routes    *Routes
}

// Apps come and go.
type Apps struct{ *base }

// Releases are made by pushes, config changes and rollbacks.
type Releases struct {
	*base
	builds
	phases
	before  []BeforeRelease
	planner AddonPlanner // nil: there are no add-ons
}

// Processes run what was released.
type Processes struct{ *base }

// Routes are how requests reach an app.
type Routes struct {
	*base
	pauseWait time.Duration
}

// base is what all of the room share.
type base struct {
	Options
	releases  *Releases
	processes *Processes
	routes    *Routes
}

// New returns the room.
func New(o Options) Room {
	b := &base{Options: o}
	b.releases, b.processes, b.routes = &Releases{base: b, builds: builds{base: b}, phases: phases{b}}, &Processes{base: b}, &Routes{base: b, pauseWait: pauseWait}
	return Room{&Apps{b}, b.releases, b.processes, b.routes}
}

// Kinds are the kinds of operation that the room begins.
func (r Room) Kinds() []journal.Kind {
	return []journal.Kind{
		r.Releases.deployKind(), r.Releases.promoteKind(), r.Releases.releaseKind(), r.Releases.postdeployKind(), r.Processes.rollKind(), r.Processes.runKind(), r.Apps.destroyKind(),
	}
}
