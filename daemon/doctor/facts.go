package doctor

import (
	"context"
	"net/netip"
	"time"

	"towline/daemon"
)

// Facts are how things are on the machine. A nil one has no meaning there, and its check is
// skipped. Each keeps to its context.
type Facts struct {
	Daemon       func(context.Context) (version string, err error)
	Proxy        func(context.Context) error // nil: it answers
	Units        func(context.Context) ([]Unit, error)
	Podman       func(context.Context) (Podman, error)
	Netavark     func(context.Context) (version string, err error)
	Cgroup       func(context.Context) (Cgroup, error)
	Kernel       func(context.Context) (release string, err error)
	Tables       func(context.Context) (tables []string, err error) // of nftables, "inet towline"
	Ports        func(context.Context) ([]Port, error)
	SSHD         func(context.Context) (SSHD, error)
	Domains      func(context.Context) ([]string, error)
	Resolve      func(ctx context.Context, host string) ([]netip.Addr, error)
	Addresses    func(context.Context) ([]netip.Addr, error) // of this machine
	Certificates func(context.Context) ([]daemon.Certificate, error)
	Clock        func(context.Context) (Clock, error)
	Disks        func(context.Context) ([]Disk, error)
	Holders      func(context.Context) (largest []string, err error) // "backups of shop-db: 12 GiB"
	Memory       func(context.Context) (Memory, error)
	Backups      func(context.Context) ([]Backups, error)
	HostBackup   func(context.Context) (HostBackup, error)
	Reboot       func(context.Context) (Reboot, error)
	Now          func() time.Time
}

// Unit is one of systemd's.
type Unit struct {
	Name     string
	Load     string // loaded, not-found
	Active   string // active, inactive, failed, ...
	Restarts int
	Needed   bool // Towline does not serve without it
}

// Podman is the engine.
type Podman struct {
	Version  string
	Runtime  string // crun 1.8.1
	Database string // boltdb or sqlite; empty: this version does not tell
	Driver   string // of its storage
}

// Cgroup is how the kernel accounts for containers.
type Cgroup struct {
	Version     int
	Controllers []string
}

// Port is one that the proxy is to serve, and who listens there.
type Port struct {
	Address string // as towline.toml has it, ":443"
	Holders []string
}

// SSHD is what sshd would do with Towline's account; nil Problem: it lets members in by the
// keys that Towline has written.
type SSHD struct {
	User    string
	Keys    string // the file that Towline writes
	Reads   []string
	Command string // AuthorizedKeysCommand
	Denied  string // by which setting the account is shut out
	Forced  string // a ForceCommand that takes the place of towline-shell
}

// Clock is the machine's.
type Clock struct {
	Synced bool
	Error  time.Duration // that it may be off by, as the kernel has it
}

// Disk is a file system that Towline keeps something on.
type Disk struct {
	Path               string
	For                []string // what is there
	Size, Free         int64    // bytes
	Inodes, InodesFree int64    // 0, 0: it has no such bound
	Reserve            int64    // bytes below which builds are refused
}

// Memory is what the machine has, and what was promised of it, in bytes.
type Memory struct {
	Total, Available, Swap int64
	Apps, Addons, Builds   int64
}

// Backups are those of one add-on.
type Backups struct {
	Addon    string
	LastGood time.Time // zero: never
	Problems []string
}

// HostBackup is the newest backup of the whole machine.
type HostBackup struct {
	Taken, Verified time.Time // zero: never
	Schedule        string    // empty: none
	Error           string    // of the last, if it failed
	Data            bool      // there are apps, or add-ons, that one would save
}

// Reboot tells whether the machine waits for one.
type Reboot struct {
	Required bool
	Packages []string
}
