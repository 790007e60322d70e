// Package addons is the room of add-ons: services from manifests, their life, and how apps and
// people reach them. It knows nothing of backups.
package addons

import (
	"log/slog"
	"time"

	"towline/daemon"
	"towline/daemon/apps"
	"towline/daemon/container"
	"towline/daemon/journal"
	"towline/daemon/people"
	"towline/daemon/work"
	"towline/plugins"
)

// Options are what the room is made of. Every field is required.
type Options struct {
	Name   string // of the installation
	Dir    string // state directory
	Domain string // pages are served below it
	Port   string // of HTTPS, where it is not the usual one

	Store   daemon.Store
	Engine  daemon.Engine
	Router  daemon.Router
	Logs    daemon.Logs
	Vault   daemon.Vault // copies volumes
	Catalog *plugins.Catalog
	Log     *slog.Logger

	Locks      *work.Locks
	Life       *work.Life
	Journal    *journal.Journal
	Containers *container.Containers
	People     *people.People
	AppRoom
}

// AppRoom is the room below, by the names of what there is in it.
type AppRoom = apps.Room

// Room is what there is to do with add-ons.
type Room struct {
	Addons      *Addons
	Attachments *Attachments
	Services    *Services
	Pages       *Pages
	Tunnels     *Tunnels
	Plugins     *Plugins
}

// Addons are created, upgraded and destroyed.
type Addons struct {
	*base
	safety SafetyBackup
	before BeforeRemoval
}

// Attachments are the uses that apps make of add-ons, by credentials that can be rotated.
type Attachments struct{ *base }

// Services are the containers that add-ons run in.
type Services struct {
	*base
	actionLimit time.Duration
}

// Pages are the web pages of add-ons.
type Pages struct {
	*base
	wake chan struct{} // wakes Run
}

// Tunnels lead members to the ports of add-ons.
type Tunnels struct {
	*base
	traffic traffic
}

// Plugins are the services that add-ons can be of.
type Plugins struct{ *base }

// base is what all of the room share.
type base struct {
	Options
	addons      *Addons
	attachments *Attachments
	services    *Services
	pages       *Pages
}

// New returns the room.
func New(o Options) Room {
	b := &base{Options: o}
	b.addons, b.attachments, b.services = &Addons{base: b}, &Attachments{b}, &Services{base: b, actionLimit: actionLimit}
	b.pages = &Pages{base: b, wake: make(chan struct{}, 1)}
	return Room{b.addons, b.attachments, b.services, b.pages, &Tunnels{base: b}, &Plugins{b}}
}

// Kinds are the kinds of operation that the room begins.
func (r Room) Kinds() []journal.Kind {
	return []journal.Kind{
		r.Addons.provisionKind(), r.Addons.deprovisionKind(), r.Addons.upgradeKind(), r.Addons.restartKind(),
		r.Attachments.attachKind(), r.Attachments.detachKind(), r.Attachments.rotateKind(),
	}
}
