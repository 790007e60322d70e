// Package hostbackup puts the whole machine into one encrypted stream, tries such a stream
// by restoring it into a second root, and brings an empty machine up from one.
//
// The stream is age (https://age-encryption.org) around zstd around tar, so that it opens
// where there is no Towline: age -d FILE | zstd -d | tar -x. It holds
//
//	README, manifest.json           what it is; when and where it was taken
//	repositories/APP.bundle         git bundles
//	state/towline.db, state/key     the state, and the key that its secrets are sealed with
//	state/plugins/...               plugins that were installed
//	state/backups/ID/...            the newest proven backup of each add-on
//	proxy/...                       certificates, the local CA, the ACME account
//	images/NNNNNN                   parts of a docker archive of the images that serve
//	etc/...                         towline.toml, and the password of the offsite copies
//	complete.json                   the sums of all that is before it
//
// Repositories come before the state: a push in between is in the state and not in the
// repository, so that pushing it again deploys it again, and nothing seems up-to-date that
// is not.
package hostbackup

import (
	"context"
	"io"
	"path/filepath"
	"sync"
	"time"

	"towline/daemon"
)

// Repositories bundle what git keeps. The adapter is daemon/git.
type Repositories interface {
	// Bundle writes all branches and tags of an app's repository to w; none: nothing is
	// written.
	Bundle(ctx context.Context, app string, w io.Writer) error
	// Unbundle makes the app's repository hold what a bundle has, and checks it.
	Unbundle(ctx context.Context, app, bundle string) error
	Create(ctx context.Context, app string) error
}

// Images move to and from the engine in one archive, so that what they share is there once.
// The adapter is daemon/podman.
type Images interface {
	Image(ctx context.Context, ref string) (daemon.Image, error)
	SaveImages(ctx context.Context, refs []string, w io.Writer) error
	LoadImages(ctx context.Context, archive io.Reader) (names []string, err error)
}

// Offsite keeps backups of the machine on another one. The adapter is daemon/offsite.
type Offsite interface {
	// SendMachine copies the file, and lets all go but the newest keep; 0: none goes.
	SendMachine(ctx context.Context, path string, keep int) error
	// Place is where they go, for people.
	Place() string
}

// Options are what a Host is made of. Offsite may be nil: there is no other machine.
type Options struct {
	Name, Domain, Version string
	State                 string            // the daemon's directory
	Proxy                 string            // the proxy's
	Plugins               string            // where installed ones are
	Files                 map[string]string // name below etc/ -> path: towline.toml and the like
	Keys                  Keys
	Plan                  Plan

	// Snapshot writes a consistent copy of the database to a file, and opens another of it.
	Snapshot     func(ctx context.Context, file string) (daemon.Store, error)
	Store        daemon.Store
	AsOf         func(daemon.Backup) time.Time // the moment that its data is of
	Repositories Repositories
	Images       Images
	Offsite      Offsite
	// Second makes a machine of its own below root, to restore into.
	Second func(ctx context.Context, root string) (Machine, error)
}

// Machine is one that a stream is restored into.
type Machine interface {
	Repositories
	Store() daemon.Store
	// Refill fills the volumes of an add-on from a backup and proves them.
	Refill(ctx context.Context, addon, backup string, out io.Writer) error
	// Close ends it; remove takes away what Refill has made.
	Close(ctx context.Context, remove bool) error
}

// Host backs this machine up.
type Host struct {
	Options
	*records
	sending sync.Mutex    // held by the one backup on its way to the offsite server
	second  chan struct{} // holds one while there is a second machine
}

// New returns the backups of a machine.
func New(o Options) *Host {
	return &Host{Options: o, records: &records{path: filepath.Join(o.State, recordName)}, second: make(chan struct{}, 1)}
}

// Manifest is the first that a stream says of itself.
type Manifest struct {
	Format  int       `json:"format"`
	Name    string    `json:"name"`
	Domain  string    `json:"domain"`
	Version string    `json:"version"`
	Created time.Time `json:"created"`
}

// format is that of streams that this version writes, and the newest that it reads.
const format = 1

// Summary is the last that a stream says: what is in it.
type Summary struct {
	DataAsOf time.Time         `json:"data_as_of"` // of the state
	Apps     []string          `json:"apps"`
	Images   []string          `json:"images"`
	Addons   []AddonData       `json:"addons"`
	Missing  []string          `json:"missing,omitempty"` // in words
	Sums     map[string]string `json:"sha256"`            // by entry
}

// AddonData is an add-on and the backup that its data comes from; none has no backup.
type AddonData struct {
	Addon  string    `json:"addon"`
	Backup string    `json:"backup,omitempty"`
	AsOf   time.Time `json:"as_of,omitzero"`
}

// Result is what a backup, a verification or a restore came to.
type Result struct {
	Manifest
	Summary
	Size int64 `json:"size"` // bytes, encrypted
}

const (
	manifestName = "manifest.json"
	summaryName  = "complete.json"
	databaseName = "state/towline.db"
	imagesDir    = "images/"
	bundlesDir   = "repositories/"
	bundleEnd    = ".bundle"
	backupsDir   = "state/backups/"
)

const readme = `This is a backup of a Towline machine.

On an empty machine with Towline: towline host:restore FILE
By hand: docs/disaster.md of Towline says it. In short, where this is unpacked:

  git clone repositories/APP.bundle APP
  cat images/* | podman load
  state/backups/ADDON.TIME: data.tar.zst are its volumes, and *.zst beside it a portable dump
`
