package appliance

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// Guest is a Debian with a systemd and a network of its own, which begins as a bare machine
// that root can log in to: a Container, or a VM.
type Guest interface {
	// Addr is where it answers, Gateway this machine's end of the network between.
	Addr() netip.Addr
	Gateway() netip.Addr

	// Run runs a command line in root's shell, SSH one as a user with a key of theirs; they
	// return all that it says. Pipe leaves that to its caller.
	Run(ctx context.Context, line string) (string, error)
	SSH(ctx context.Context, user, key, stdin, line string) (string, error)
	Pipe(ctx context.Context, user, key string, stdin io.Reader, stdout, stderr io.Writer, line string) error
	// SSHArgs are the options of ssh by which a program of its own, as git, gets there.
	SSHArgs(key string) []string

	// Reboot asks it to reboot, and Cut ends it as a power cut does: nothing in it has a
	// say. Both return once root can log in to its next boot, within a boot's limit.
	Reboot(ctx context.Context) error
	Cut(ctx context.Context) error

	// Stop powers it off, and clears up what it had on this machine, but for its disk. It
	// fails if something went wrong in it that nobody has noticed.
	Stop() error

	// Whole tells whether it has a kernel of its own, with all controllers: limits of memory
	// hold there, and a power cut loses what was not synced.
	Whole() bool
	// Slowness is by how much its limits of time are longer than those of a machine.
	Slowness() time.Duration
}

// shared is where a guest sees the directory that it was given, which it can't change.
const shared = "/mnt/towline"

// bootLimit is how long systemd may take until sshd answers.
const bootLimit = 3 * time.Minute

// Plan is what a guest is made of.
type Plan struct {
	Kind  string // container, or vm
	Suite string // the release of Debian
	Net   byte   // its network is 10.78.Net.0/24
	Dir   string // its disk, its log
	Key   string // the private key that root's SSH takes
	Share string // it sees this directory at shared
}

// Boot makes a guest and starts it, and returns once root can log in.
func Boot(ctx context.Context, p Plan) (Guest, error) {
	switch p.Kind {
	case "container":
		return bootContainer(ctx, p)
	case "vm":
		return bootVM(ctx, p)
	}
	return nil, fmt.Errorf("a guest is a container or a vm, not %q", p.Kind)
}
