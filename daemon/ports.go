package daemon

import (
	"context"
	"io"
	"time"
)

// This file, engine.go and store.go hold every interface that the core needs from outside. Adapters
// in the folders below implement them; only cmd wires the two together.

// Builder turns source into an image. The adapter is daemon/build.
type Builder interface {
	// Build writes what the user should see to out. On success the image is in
	// the engine under req.Image. On error, or when ctx ends, nothing of the
	// build is left but its caches.
	Build(ctx context.Context, req BuildRequest, out io.Writer) (BuildResult, error)
	// Clean removes what a build that was cut short has left behind.
	Clean(ctx context.Context, id string) error
	// RemoveCaches forgets an app's build caches.
	RemoveCaches(ctx context.Context, app string) error
}

// BuildRequest is one build.
type BuildRequest struct {
	ID     string // unique; names the build's containers and working files
	App    string
	Source string // directory that holds the extracted source; the builder may change it
	Image  string // reference to give the result
	Env    map[string]string
	Choice BuilderChoice
}

// BuildResult is an image and how to start processes in it.
type BuildResult struct {
	Image Image
	// Kind is "buildpack" or "dockerfile".
	Kind string
	// Launcher is put before a Procfile command: for buildpacks the lifecycle's
	// launcher, which sets up their environment and starts a shell itself.
	Launcher []string
	// Processes are types that the build itself defines, as whole commands:
	// those of a buildpack, or web as a Dockerfile's own command.
	Processes map[string]string
	// Exposed are the TCP ports that a Dockerfile says its image listens on: its own, or else
	// those that it has from its base.
	Exposed []int
	// Types are commands that the source has for this kind of build, in place of its
	// Procfile: those of a heroku.yml. Nil: the Procfile counts.
	Types map[string]string
}

// Router is the proxy, seen from the daemon. The adapter is daemon/router.
type Router interface {
	// Deploy waits until every new target is ready, then switches in one step.
	// NotReadyError tells which target failed.
	Deploy(ctx context.Context, r Route) error
	// Drain returns once the targets that were taken out have no request left,
	// or after budget.
	Drain(ctx context.Context, app string, budget time.Duration) error
	Remove(ctx context.Context, app string) error
	// Pause makes new requests wait, each at most limit, until Resume, and
	// returns when none is in flight, or with ctx's error once that ends: the pause
	// stays. An app without a route is NotFound.
	Pause(ctx context.Context, app string, limit time.Duration) error
	Resume(ctx context.Context, app string) error
	Routes(ctx context.Context) ([]Route, error)
	Certificates(ctx context.Context) ([]Certificate, error)
	// SetCertificate serves a certificate of the user's own (PEM, leaf first) for a
	// host from now on. Invalid tells what is wrong with it.
	SetCertificate(ctx context.Context, host string, chain, key []byte) error
	// DeleteCertificate goes back to an automatic one.
	DeleteCertificate(ctx context.Context, host string) error
}

// Route is what the proxy serves for one app, or for an add-on's page.
type Route struct {
	App         string // or what pageName gives
	Hosts       []string
	Redirects   map[string]string // host -> host
	Targets     []Target
	Health      Health
	Maintenance bool
	Undeployed  bool      // nothing to serve yet, which visitors are told
	AuthUntil   time.Time // of Auth; zero: no end
	Prefix      string    // of the paths served, but for WebSockets; empty: all
	Rules
}

// Target is one web process. ID is its container's name.
type Target struct {
	ID, Address string
	WebSocket   bool // it takes the requests that ask for an upgrade, and no others
	H2C         bool // it speaks HTTP/2 without TLS
}

// Health says when a web process is ready; the zero value: any HTTP answer.
type Health struct {
	Path     string        `json:"path,omitempty"`
	Status   []int         `json:"status,omitempty"`   // expected; none: 200 to 399
	Content  string        `json:"content,omitempty"`  // that the answer holds
	Timeout  time.Duration `json:"timeout,omitempty"`  // of one probe
	Deadline time.Duration `json:"deadline,omitempty"` // of becoming ready
	Uptime   time.Duration `json:"uptime,omitempty"`   // that it must have run for; no part of a route
}

// Certificate is the state of one host's certificate.
type Certificate struct {
	Host     string    `json:"host"`
	Kind     string    `json:"kind"`
	State    string    `json:"state"`
	Issuer   string    `json:"issuer,omitempty"`
	Error    string    `json:"error,omitempty"`
	NotAfter time.Time `json:"not_after,omitzero"`
}

// Repositories are the apps' git repositories. The adapter is daemon/git.
type Repositories interface {
	Create(ctx context.Context, app string) error
	Remove(ctx context.Context, app string) error
	// Path is where the app's repository is, or would be.
	Path(app string) string
	// Commits counts the commits that to has and from has not, and lists the newest of them.
	// A commit that the repository does not have is NotFound.
	Commits(ctx context.Context, app, from, to string, most int) ([]Commit, int, error)
}

// Commit is one of a repository.
type Commit struct {
	ID      string `json:"id"`
	Subject string `json:"subject"` // first line of its message, as somebody wrote it
}

// Unpacker writes the files of a source archive (tar, or tar.gz) below an existing
// directory. Hostile entries are refused; it never follows links.
type Unpacker interface {
	Unpack(ctx context.Context, archive io.Reader, dir string) error
}

// Keys is the list of SSH keys that sshd accepts. The adapter is daemon/git.
type Keys interface {
	// Replace writes the whole list, atomically.
	Replace(ctx context.Context, keys []MemberKey) error
	// Parse checks one public key line and returns it in canonical form, with
	// its SHA256 fingerprint.
	Parse(line string) (key, fingerprint string, err error)
}

// Vault keeps the bytes of backups. The adapter is daemon/vault.
type Vault interface {
	// Mirror copies directories (source -> existing directory) with owners, modes and
	// times, in as many passes as its caller likes.
	Mirror(dirs map[string]string) Mirror
	// Store packs directories, each under its name, as a new backup's first part. On
	// error nothing is left of it. about is put into the manifest beside it.
	Store(ctx context.Context, id string, dirs map[string]string, about any) (Part, error)
	// Add packs what write sends as another part. On error nothing is left of that.
	Add(ctx context.Context, id, name string, write func(io.Writer) error) (Part, error)
	// Describe replaces the manifest.
	Describe(ctx context.Context, id string, about any, parts ...Part) error
	// Load checks the sum of what Store has made, then unpacks it into directories
	// that are empty. NotFound tells that the bytes are gone.
	Load(ctx context.Context, id string, part Part, dirs map[string]string) error
	// Open checks the sum of a part, then reads what was packed.
	Open(ctx context.Context, id string, part Part) (io.ReadCloser, error)
	// Delete removes the bytes. Absent is no error.
	Delete(ctx context.Context, id string) error
}

// Mirror keeps copies of directories up to date.
type Mirror interface {
	// Pass copies what has changed since the one before. The sources may change
	// meanwhile, unless frozen promises that they do not: then the copies equal them
	// exactly, as long as every write leaves its mark in a file's times. Nothing of a
	// frozen pass need be on disk when it returns.
	Pass(ctx context.Context, frozen bool) (Pass, error)
}

// Pass is what one has cost, in bytes.
type Pass struct {
	Read    int64 // the size of the files that had changed
	Written int64
}

// Part is one file of a backup.
type Part struct {
	File   string `json:"file"`
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// Offsite keeps second copies of backups on another machine, encrypted. The adapter is
// daemon/offsite.
type Offsite interface {
	// Upload copies a backup's folder. Done before is no error.
	Upload(ctx context.Context, id string) error
	// Fetch brings the folder back to where Vault looks for it.
	Fetch(ctx context.Context, id string) error
	// Forget removes the copy. Absent is no error.
	Forget(ctx context.Context, id string) error
	// Place is where copies go, for people.
	Place() string
}

// Logs keeps what apps and Towline itself say. The adapter is daemon/logs.
type Logs interface {
	// ContainerPath is the file that the engine writes a process's output to. The
	// logs of an add-on are those of an app called "+NAME".
	ContainerPath(app, process string) string
	// ContainerSize bounds that file, in bytes.
	ContainerSize() int64
	// Prune removes what is too old or too much, but nothing of the live containers.
	Prune(live []string) error
	// Write adds a line of Towline's own, from source "system" or "build".
	Write(app, source, process, line string)
	// KeepOutput begins what is kept of what an app's build or test run of that number writes, of
	// its end if it is much, and forgets that of all but the newest keep. of is "build" or "test":
	// its lines come from that source, and from process "build.NUMBER" or "test.NUMBER".
	KeepOutput(app, of string, number, keep int) (io.WriteCloser, error)
	// Read sends the last n lines in order of time, then, with follow, new ones
	// until ctx ends.
	Read(ctx context.Context, q LogQuery, line func(LogLine) error) error
	Remove(app string) error
}

// LogQuery chooses log lines. Empty Process or Source means all.
type LogQuery struct {
	App     string
	Lines   int
	Follow  bool
	Process string // "web" or "web.1"
	Source  string // app, system, build, router or addon; or test, whose lines come to nobody who does not ask for them
}

// LogLine is one line of an app's log.
type LogLine struct {
	Time    time.Time `json:"time"`
	Source  string    `json:"source"`
	Process string    `json:"process"`
	Text    string    `json:"text"`
}
