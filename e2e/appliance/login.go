package appliance

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"strings"
	"time"
)

// login is the way into a guest: sshd.
type login struct {
	at   netip.Addr
	key  string        // root's
	wait time.Duration // for a boot
}

// SSHArgs log in with a key, into whatever the guest is at the moment.
func (l login) SSHArgs(key string) []string {
	return []string{
		"-F", "/dev/null", "-i", key, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=20",
		"-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=6", // a guest whose power was cut says nothing
	}
}

func (l login) SSH(ctx context.Context, user, key, stdin, line string) (string, error) {
	var out bytes.Buffer
	err := l.Pipe(ctx, user, key, strings.NewReader(stdin), &out, &out, line)
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, tail(out.String()))
	}
	return out.String(), err
}

func (l login) Pipe(ctx context.Context, user, key string, stdin io.Reader, stdout, stderr io.Writer, line string) error {
	cmd := exec.CommandContext(ctx, "ssh", append(l.SSHArgs(key), user+"@"+l.at.String(), line)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("ssh %s: %s: %w", user, line, err)
	}
	return nil
}

func (l login) Run(ctx context.Context, line string) (string, error) {
	return l.SSH(ctx, "root", l.key, "", line)
}

// answers waits until root can log in; gone says why that will never be.
func (l login) answers(ctx context.Context, gone func() error) error {
	return l.until(ctx, gone, func(ctx context.Context) error {
		_, err := l.Run(ctx, "true")
		return err
	})
}

// reboots asks for a reboot, and waits until root can log in to the next boot.
func (l login) reboots(ctx context.Context, gone func() error) error {
	if _, err := l.Run(ctx, "touch /run/this-boot"); err != nil {
		return err
	}
	_, _ = l.Run(ctx, "systemctl reboot") // the connection may end before the answer
	return l.until(ctx, gone, func(ctx context.Context) error {
		_, err := l.Run(ctx, "test ! -e /run/this-boot")
		return err
	})
}

func (l login) until(ctx context.Context, gone func() error, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, l.wait)
	defer cancel()
	for {
		if err := gone(); err != nil {
			return err
		}
		try, done := context.WithTimeout(ctx, 30*time.Second)
		err := do(try)
		done()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no boot within %s: %w", l.wait, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
