package apps

import (
	"context"
	"fmt"
	"time"

	"towline/daemon"
)

// Bounds are on what one member, or one app, can make. Zero is no bound.
type Bounds struct {
	Processes int // of one app, of all types together
	Apps      int // that a member owns who is no administrator
	OneOffs   int // of a member at a time
}

// roomForOneOff refuses a member more one-offs at a time than are allowed.
func (ps *Processes) roomForOneOff(tx daemon.Tx, member string) error {
	if member == "" || ps.Bounds.OneOffs == 0 {
		return nil
	}
	ops, err := tx.Operations()
	if err != nil {
		return err
	}
	n := 0
	for _, op := range ops {
		if op.Kind == opRun && op.Member == member {
			n++
		}
	}
	if n < ps.Bounds.OneOffs {
		return nil
	}
	return daemon.Errorf(daemon.Conflict, "%d one-offs of %s run already, and no member may have more at a time", n, member).
		WithHint("end one of them, or have an administrator raise one_offs under [limits] in towline.toml")
}

// roomForProcesses refuses a formation that has grown larger than an app's may be.
func (ps *Processes) roomForProcesses(app string, old, next daemon.Formation) error {
	before, after := total(old), total(next)
	if ps.Bounds.Processes == 0 || after <= before || after <= ps.Bounds.Processes {
		return nil
	}
	return daemon.Errorf(daemon.Conflict, "%s would have %d processes, and an app may have %d", app, after, ps.Bounds.Processes).
		WithHint("scale another type down, or have an administrator raise processes under [limits] in towline.toml")
}

func total(f daemon.Formation) (n int) {
	for _, count := range f {
		n += count
	}
	return n
}

// Exit codes of what a signal has ended: SIGKILL is a user's, or the kernel's at the limit
// of memory; SIGXFSZ is the kernel's at the limit of a file's size.
const (
	codeKilled     = 128 + 9
	codeTooLong    = 128 + 25
	codeTerminated = 128 + 15
)

// killNotice is how long the engine may take to learn of a kill that was seen already.
const killNotice = time.Second

// LimitMet says which of its limits has ended a process of an app. It is empty if none has.
func (ps *Processes) LimitMet(ctx context.Context, container string, code int) string {
	name := ps.Containers.ShortName(container)
	if code == codeTooLong && ps.Limits.Disk > 0 {
		return fmt.Sprintf("%s was ended, as it wrote a file larger than the %s that one may be", name, daemon.BytesText(ps.Limits.Disk))
	}
	if code != codeKilled {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killNotice)
	defer cancel()
	for {
		c, err := ps.Engine.Container(ctx, container)
		if err == nil && c.OOMKilled {
			return ps.neededMore(name)
		}
		select {
		case <-time.After(killNotice / 20):
		case <-ctx.Done():
			return ""
		}
	}
}

func (ps *Processes) neededMore(process string) string {
	if ps.Limits.Memory == 0 {
		return "out of memory: " + process + " was killed"
	}
	return fmt.Sprintf("out of memory: %s was killed, as it needed more than the %s that it may have", process, daemon.BytesText(ps.Limits.Memory))
}

// LimitHint is what to do about a limit that was met.
const LimitHint = "make it need less, or have an administrator raise its limit under [limits] in towline.toml"
