package daemon

import (
	"context"
	"io"
	"net/netip"
	"time"
)

// Engine runs containers. The adapter is daemon/podman.
//
// Names: every object's name is chosen by the caller and begins with the
// installation's name; the adapter adds the label "towline" with that name and
// lists only objects that carry it. An absent object is ErrNotFound, and removing
// one is no error. Cancelling ctx abandons the call; what it had created stays,
// to be found by name.
type Engine interface {
	Images
	Networks
	Volumes
	Containers
}

// Images are looked up by reference or ID. References are rewritten by the
// configured mirror table before use.
type Images interface {
	// EnsureImage returns the image, pulling it when absent. Progress, one line
	// a step, goes to out, which may be nil.
	EnsureImage(ctx context.Context, ref string, out io.Writer) (Image, error)
	Image(ctx context.Context, ref string) (Image, error)
	// Replacement is the reference that the machine's configuration has put in the place of
	// ref: every method here takes that one. Empty: none.
	Replacement(ref string) string
	// LoadImage reads an OCI or docker archive that holds one image.
	LoadImage(ctx context.Context, archive io.Reader) (Image, error)
	// SaveImage writes the image as a docker archive.
	SaveImage(ctx context.Context, ref string, w io.Writer) error
	TagImage(ctx context.Context, id, ref string) error
	// UntagImage removes one name, and the image once it has none left.
	UntagImage(ctx context.Context, ref string) error
}

// Image is what the core needs to know of one.
type Image struct {
	ID         string
	Refs       []string
	Labels     map[string]string
	Env        map[string]string
	Entrypoint []string
	Cmd        []string
	User       string
	WorkDir    string
	Exposed    []int // TCP ports, in order
	Size       int64 // bytes
}

// Networks are bridges with name resolution; none reaches another.
type Networks interface {
	EnsureNetwork(ctx context.Context, name string, labels map[string]string) error
	RemoveNetwork(ctx context.Context, name string) error
	Networks(ctx context.Context) ([]Labelled, error)
	// Connect joins a container, running or not, to a network under aliases.
	// Joined already is no error; nor is Disconnect of one not joined. Aliases that
	// one container alone has resolve without the name server in every container
	// of the network, as long as it was started through the engine.
	Connect(ctx context.Context, network, container string, aliases []string) error
	Disconnect(ctx context.Context, network, container string) error
}

// Volumes are directories that outlive containers.
type Volumes interface {
	EnsureVolume(ctx context.Context, name string, labels map[string]string) error
	RemoveVolume(ctx context.Context, name string) error
	Volumes(ctx context.Context) ([]Labelled, error)
	// VolumePath is the volume's directory on the host.
	VolumePath(ctx context.Context, name string) (string, error)
}

// Labelled is a network or a volume.
type Labelled struct {
	Name   string
	Labels map[string]string
}

// Containers are created stopped, and found again by name.
type Containers interface {
	CreateContainer(ctx context.Context, spec ContainerSpec) error
	// StartContainer returns once the process was started; started already is
	// no error.
	StartContainer(ctx context.Context, name string) error
	// StopContainer sends SIGTERM, and SIGKILL after grace. Stopped already or
	// absent is no error.
	StopContainer(ctx context.Context, name string, grace time.Duration) error
	// RemoveContainer kills what runs.
	RemoveContainer(ctx context.Context, name string) error
	KillContainer(ctx context.Context, name, signal string) error
	PauseContainer(ctx context.Context, name string) error
	UnpauseContainer(ctx context.Context, name string) error
	Container(ctx context.Context, name string) (Container, error)
	// ContainerList lists this installation's containers that carry all labels.
	ContainerList(ctx context.Context, labels map[string]string) ([]Container, error)
	// WaitContainer returns the exit code once the container has stopped.
	WaitContainer(ctx context.Context, name string) (int, error)
	// ContainerLog copies the whole log of a container, and follows it until it
	// stops when follow is set.
	ContainerLog(ctx context.Context, name string, follow bool, stdout, stderr io.Writer) error
	// Listeners are the TCP addresses that the processes of a container listen on in its own
	// network. One that does not run is Conflict.
	Listeners(ctx context.Context, name string) ([]netip.AddrPort, error)
	// RunAttached starts a created container with the streams attached from its
	// first byte and returns its exit code. See Streams for the terminal. If ctx
	// ends first the container is left running.
	RunAttached(ctx context.Context, name string, s Streams) (int, error)
	// Exec runs a command in a running container. Unavailable tells, as with RunAttached,
	// that the engine went away meanwhile, and how the command ended is unknown.
	Exec(ctx context.Context, name string, cmd ExecSpec, s Streams) (int, error)
	// Events sends an event for every container of this installation that
	// starts or dies, until ctx ends; then the channel is closed. It reconnects
	// by itself, so events can be missed: treat one as a hint to look.
	Events(ctx context.Context) (<-chan Event, error)
	// Ping tells whether the engine answers, and its version.
	Ping(ctx context.Context) (version string, err error)
}

// ContainerSpec is a container to be created. The zero value of each field is the
// safe default: no capabilities beyond the image's needs are ever added unasked.
type ContainerSpec struct {
	Name               string
	Image              string
	Labels             map[string]string
	Entrypoint         []string // nil: the image's
	Command            []string // nil: the image's
	Env                map[string]string
	WorkDir            string
	User               string
	Hostname           string
	Networks           []Attachment // none: no network but its own loopback
	HostNetwork        bool         // share the host's network: builds that talk to loopback
	NoNetwork          bool
	Mounts             []Mount
	Limits             Limits
	Init               bool // reap and forward signals as PID 1
	Terminal           bool
	Stdin              bool
	ReadOnly           bool     // root filesystem
	CapDrop            []string // "ALL" for none
	CapAdd             []string
	Unconfined         bool   // no seccomp filter: nested builds only
	IDMap              uint32 // nonzero: map container ids 0..65535 to IDMap.. on the host
	IDMapIfCheap       bool   // not where the engine would copy the image for it
	IDMapMounts        bool   // what is mounted has the same owners in the container as outside; ids are mapped only where that can be
	AllowNewPrivileges bool
	LogPath            string // on the host, in Podman's k8s-file format; empty: the default place
	LogSize            int64  // bytes, after which the file starts anew
	NoLog              bool   // what it writes is kept nowhere: whoever is attached alone sees it
	StopGrace          time.Duration
}

// Attachment is a place in a network.
type Attachment struct {
	Network string
	Aliases []string
}

// Mount is a volume (Volume set), a host path (Source set) or, with neither, a tmpfs.
type Mount struct {
	Volume   string
	Source   string
	Target   string
	ReadOnly bool
}

// Limits bound a container. Zero means unlimited but for Pids and Files, whose zero is
// the engine's default.
type Limits struct {
	Memory int64   // bytes
	CPU    float64 // processors
	Pids   int64
	Files  int64 // open at a time, of each process
	// Disk is how many bytes may be written to the container's own file system, where the
	// engine's storage can tell, and the size of any one file everywhere.
	Disk int64
	// Background gives way to the others when processors are short.
	Background bool
}

// Container is one as the engine reports it.
type Container struct {
	Name      string
	ID        string
	Image     string // ID
	Labels    map[string]string
	Running   bool
	Paused    bool
	ExitCode  int
	OOMKilled bool // a process was, at the limit of memory
	Created   time.Time
	Started   time.Time
	Finished  time.Time
	Addresses map[string]string // network -> IP; only from Container, not from ContainerList
	IPs       []string          // what Addresses has and 127.0.0.1; only from ContainerList, and empty where it can't be told quickly
}

// Event says that a container started or died, or that the kernel killed a process in it
// at its limit of memory; or, alone, that others were missed.
type Event struct {
	Missed    bool // events before this one were not told of
	Container string
	Labels    map[string]string
	Died      bool
	ExitCode  int
	// OutOfMemory is the name of the process that was killed, which the container chose:
	// printable, at most 16 bytes. If it was the container's first, Died follows.
	OutOfMemory string
}

// ExecSpec is a command for a running container.
type ExecSpec struct {
	Command []string
	Env     map[string]string
	User    string
	WorkDir string
}

// Streams connect a user to a process. With Terminal, Stdout carries both
// outputs and every value from Resize sets the window size. A call does not wait for
// a Read of Stdin in progress when the process has ended: its owner ends that. Input that
// breaks off with an error, and not io.EOF, ends the call with that error; the process
// gets no end of input.
type Streams struct {
	Stdin    io.Reader
	Stdout   io.Writer
	Stderr   io.Writer
	Terminal bool
	Size     Size // first window size
	Resize   <-chan Size
}

// Size is that of a terminal window, in characters.
type Size struct{ Rows, Cols uint16 }
