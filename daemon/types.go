package daemon

import (
	"encoding/json"
	"strings"
	"time"
)

// App is what a user pushes to.
type App struct {
	Name string `json:"name"`
	// Handle is what the app is called outside of the store, see package handles: given
	// once, and never changed.
	Handle  string    `json:"-"`
	Created time.Time `json:"created"`
	Owner   string    `json:"owner"`
	// Config are the app's config vars as of its newest good release.
	Config map[string]string `json:"-"`
	// Formation is how many processes of each type should run.
	Formation Formation `json:"formation"`
	// Kept are the counts of types that the current release does not have, for when they
	// come back.
	Kept Formation `json:"-"`
	// Current is the version of the release that serves; 0 before the first.
	Current      int    `json:"current"`
	Maintenance  bool   `json:"maintenance"`
	DeployBranch string `json:"deploy_branch,omitempty"` // empty: main and master
	// ReleaseBackups: a backup of each add-on is taken before each release.
	ReleaseBackups bool `json:"release_backups"`
	// TestsFirst: what is pushed is deployed only once its tests have succeeded.
	TestsFirst bool `json:"ci"`
	// TestConfig are config vars of its test runs.
	TestConfig map[string]string `json:"-"`
	// Builder is how its source is built, if somebody has chosen.
	Builder BuilderChoice `json:"builder,omitzero"`
	// Capabilities are those that an administrator has given its processes.
	Capabilities []string `json:"capabilities,omitempty"`
}

// Formation maps process types to their number of processes.
type Formation map[string]int

// ReleaseStatus is where a release is in its life.
type ReleaseStatus string

// A release is pending until its processes serve, then good; one that did not
// get there is failed and never served a request.
const (
	ReleasePending ReleaseStatus = "pending"
	ReleaseGood    ReleaseStatus = "good"
	ReleaseFailed  ReleaseStatus = "failed"
)

// Release is an image with config vars: all that it takes to run the app.
type Release struct {
	App         string        `json:"app"`
	Version     int           `json:"version"`
	Status      ReleaseStatus `json:"status"`
	Description string        `json:"description"`
	Member      string        `json:"member"`
	Created     time.Time     `json:"created"`
	Commit      string        `json:"commit,omitempty"`
	Image       string        `json:"image,omitempty"` // ID; empty before the first deploy
	// Origin is where the image was promoted from; nil: it was built for this app.
	Origin    *Origin            `json:"promoted_from,omitempty"`
	Kind      string             `json:"kind,omitempty"` // buildpack, dockerfile or image
	Processes map[string]Process `json:"processes,omitempty"`
	Health    Health             `json:"health,omitzero"`
	Config    map[string]string  `json:"-"`
	// ConfigDropped: the config vars are no longer kept, and Config is nil. See KeptConfigs.
	ConfigDropped bool   `json:"-"`
	Output        string `json:"-"` // of the release phase
	Error         string `json:"error,omitempty"`
}

// KeptConfigs is how many releases of an app keep their config vars, the newest: every
// config:set makes a release, and each may be a quarter of a megabyte.
const KeptConfigs = 50

// BuildStatus is where a build is in its life.
type BuildStatus string

// A build is running until its image is there, which is all that succeeded says: how its release
// ended the release tells. One that the daemon's end has cut short is interrupted.
const (
	BuildRunning     BuildStatus = "running"
	BuildSucceeded   BuildStatus = "succeeded"
	BuildFailed      BuildStatus = "failed"
	BuildCancelled   BuildStatus = "cancelled"
	BuildInterrupted BuildStatus = "interrupted"
)

// KeptBuilds is how many builds of an app are kept, the newest.
const KeptBuilds = 50

// Build is one making of an image from source.
type Build struct {
	App      string      `json:"app"`
	Number   int         `json:"number"`
	Status   BuildStatus `json:"status"`
	Member   string      `json:"member"`
	Commit   string      `json:"commit,omitempty"`
	Created  time.Time   `json:"created"`
	Finished time.Time   `json:"finished,omitzero"`
	Release  int         `json:"release,omitempty"` // version that was made of it, good or not; 0: none
	Error    string      `json:"error,omitempty"`
}

// Process is how to start one process type in a release's image.
type Process struct {
	Command    string   `json:"command"`              // as the Procfile has it
	Entrypoint []string `json:"entrypoint,omitempty"` // nil: the image's own
	Args       []string `json:"args,omitempty"`       // nil: the image's own
	// Protocol is what a web process speaks: ProtocolH2C, or empty for HTTP/1.1.
	Protocol string `json:"protocol,omitempty"`
	// Exposed are the TCP ports that the image of a web process says it listens on.
	Exposed []int `json:"exposed,omitempty"`
}

// ProtocolH2C is HTTP/2 without TLS, as gRPC servers speak it.
const ProtocolH2C = "h2c"

// Domain is a host name that leads to an app.
type Domain struct {
	App     string    `json:"app"`
	Host    string    `json:"host"`
	Created time.Time `json:"created"`
	// Redirect is another host of the app, to which visitors of this one are sent.
	Redirect string `json:"redirect,omitempty"`
}

// AddonStatus is where an add-on is in its life.
type AddonStatus string

// An add-on is creating until its probe answered, then ready; destroying once its
// removal began.
const (
	AddonCreating   AddonStatus = "creating"
	AddonReady      AddonStatus = "ready"
	AddonDestroying AddonStatus = "destroying"
)

// Addon is a running service that apps attach to. It belongs to the app that it was made
// for: who may do something with that app may do it with the add-on.
type Addon struct {
	Name    string      `json:"name"`          // also its host name in the apps' networks
	App     string      `json:"app,omitempty"` // that owns it; empty: administrators alone do
	Service string      `json:"service"`
	Plan    string      `json:"plan"`
	Version string      `json:"version"`
	Status  AddonStatus `json:"status"`
	Created time.Time   `json:"created"`
	// Generation is part of the names of the container and the volumes. A restore
	// fills the volumes of the next one, and only then makes it current.
	Generation int `json:"generation"`
	// Secrets are the values that the manifest had generated.
	Secrets map[string]string `json:"-"`
}

// AddonAttachment gives an app an add-on's config vars.
type AddonAttachment struct {
	Addon  string   `json:"addon"`
	App    string   `json:"app"`
	Prefix string   `json:"prefix,omitempty"` // of the config vars; empty: the manifest's own names
	Vars   []string `json:"vars"`             // names set in the app, aliases too
	// Aliases are second names of some of Vars: NEO4J_URI is GRAPHENEDB_BOLT_URL.
	Aliases map[string]string `json:"aliases,omitempty"`
}

// BackupStatus is where a backup is in its life.
type BackupStatus string

// A backup is running until stored; then, once proven by a restore into a throwaway
// container, good, else failed.
const (
	BackupRunning BackupStatus = "running"
	BackupGood    BackupStatus = "good"
	BackupFailed  BackupStatus = "failed"
)

// Why a backup was taken.
const (
	ReasonManual   = "manual"   // someone asked for it
	ReasonSchedule = "schedule" // its time had come
	ReasonSafety   = "safety"   // its data was about to be replaced
	ReasonRelease  = "release"  // an app that uses it was about to be released
)

// Backup is a stored snapshot of one add-on.
type Backup struct {
	ID       string          `json:"id"`
	Addon    string          `json:"addon"`
	App      string          `json:"app,omitempty"` // that owns the add-on; empty once it is gone
	Service  string          `json:"service"`
	Version  string          `json:"version"`
	Status   BackupStatus    `json:"status"`
	Reason   string          `json:"reason"` // manual, schedule, safety or release
	Created  time.Time       `json:"created"`
	Finished time.Time       `json:"finished,omitzero"`
	Size     int64           `json:"size"`  // bytes stored
	Stall    time.Duration   `json:"stall"` // how long the service was frozen
	Proven   time.Time       `json:"proven,omitzero"`
	Facts    string          `json:"facts,omitempty"` // what the verification counted
	Error    string          `json:"error,omitempty"`
	Detail   json.RawMessage `json:"detail,omitempty"` // Stored, as JSON
	// Secrets are those of the add-on at that time, which its data may know. Nil: the
	// backup is from before they were kept.
	Secrets map[string]string `json:"-"`
}

// Schedule captures backups of an add-on at times given by a cron expression.
type Schedule struct {
	Addon string    `json:"addon"`
	Cron  string    `json:"cron"`
	Zone  string    `json:"zone"`
	Keep  string    `json:"keep"`
	Last  time.Time `json:"last,omitzero"` // newest tick that was acted on
}

// Opening is the web page of an add-on, served for a while to whoever has the password.
type Opening struct {
	Addon   string
	Member  string // who opened it
	Hash    string // bcrypt, of the password
	Expires time.Time
}

// Member is a person, or a machine, with SSH keys.
type Member struct {
	Name    string    `json:"name"`
	Admin   bool      `json:"admin"` // may do everything
	Created time.Time `json:"created"`
}

// MemberKey is one SSH public key.
type MemberKey struct {
	Member      string    `json:"member"`
	Key         string    `json:"key"` // authorized_keys form, without options
	Fingerprint string    `json:"fingerprint"`
	Created     time.Time `json:"created"`
}

// Access is what a member may do with an app.
type Access struct {
	App         string       `json:"app"`
	Member      string       `json:"member"`
	Permissions []Permission `json:"permissions"`
}

// Permission is one of the four kinds of thing that can be done to an app, or Admin.
type Permission string

// View reads, Deploy pushes and rolls back, Operate changes config, processes and
// add-ons and runs commands, Manage grants access and destroys.
const (
	View    Permission = "view"
	Deploy  Permission = "deploy"
	Operate Permission = "operate"
	Manage  Permission = "manage"
	// Admin is what administrators have, with every app and the host. It is not granted with
	// an app.
	Admin Permission = "admin"
)

// Operation is an entry of the journal: what Towline has begun to change, written
// before the change. One that is still there at start was cut short.
type Operation struct {
	ID      int64           `json:"id"`
	Kind    string          `json:"kind"`
	Subject string          `json:"subject"` // app or add-on
	Step    string          `json:"step"`
	Member  string          `json:"member"`
	Started time.Time       `json:"started"`
	Data    json.RawMessage `json:"data,omitempty"`
	// Event is what is recorded once it is known what came of the operation; nil: nothing, or
	// that was done already.
	Event *Activity `json:"event,omitempty"`
}

// Name is the comment of a key, by which its owner knows it. It may be empty.
func (k MemberKey) Name() string {
	fields := strings.SplitN(k.Key, " ", 3)
	if len(fields) < 3 {
		return ""
	}
	return fields[2]
}
