// Package backups is the room of backups: taken, proven, kept, copied offsite, restored. What
// is below knows nothing of it: releases and upgrades call it by a hook of their own.
package backups

import (
	"log/slog"
	"sync"
	"time"

	"towline/daemon"
	"towline/daemon/addons"
	"towline/daemon/apps"
	"towline/daemon/container"
	"towline/daemon/journal"
	"towline/daemon/people"
	"towline/daemon/work"
)

// Options are what the room is made of. Every field but Offsite and InputIdle is required.
type Options struct {
	Name string // of the installation
	Dir  string // state directory

	Store   daemon.Store
	Engine  daemon.Engine
	Router  daemon.Router
	Logs    daemon.Logs
	Vault   daemon.Vault
	Offsite daemon.Offsite // nil: none
	Log     *slog.Logger

	Locks      *work.Locks
	Ballast    work.Ballast
	Life       *work.Life
	Journal    *journal.Journal
	Containers *container.Containers
	People     *people.People
	AppRoom
	AddonRoom

	// InputIdle is the longest time between two bytes of what a user sends; zero: minutes.
	InputIdle time.Duration
}

// The rooms below, each by the names of what there is in it.
type (
	AppRoom   = apps.Room
	AddonRoom = addons.Room
)

// Room is what there is to do with backups.
type Room struct {
	Backups   *Backups
	Proofs    *Proofs
	Restores  *Restores
	Copies    *Copies
	Schedules *Schedules
}

// Backups are taken and deleted.
type Backups struct{ *base }

// Proofs are throwaway containers that tell whether data is good.
type Proofs struct{ *base }

// Restores put data back, alone or together with a release.
type Restores struct{ *base }

// Copies of backups are kept offsite.
type Copies struct {
	*base
	wake chan struct{} // wakes Run
}

// Schedules have backups taken at their times.
type Schedules struct {
	*base
	mu      sync.Mutex
	running map[string]bool // by add-on
	wake    chan struct{}
}

// base is what all of the room share.
type base struct {
	Options
	backups  *Backups
	proofs   *Proofs
	restores *Restores
	copies   *Copies
}

// New returns the room.
func New(o Options) Room {
	b := &base{Options: o}
	b.backups, b.proofs, b.restores = &Backups{b}, &Proofs{b}, &Restores{b}
	b.copies = &Copies{base: b, wake: make(chan struct{}, 1)}
	return Room{b.backups, b.proofs, b.restores, b.copies, &Schedules{base: b, running: map[string]bool{}, wake: make(chan struct{}, 1)}}
}

// Kinds are the kinds of operation that the room begins.
func (r Room) Kinds() []journal.Kind {
	return []journal.Kind{r.Backups.backupKind(), r.Backups.backupDeleteKind(), r.Restores.restoreKind(), r.Restores.rollbackKind()}
}
