package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"towline/cmd/internal/config"
	"towline/cmd/internal/watchdog"
	"towline/daemon"
	"towline/daemon/addons"
	"towline/daemon/command"
	"towline/daemon/socket"
)

// stopLimit is how long the daemon may take to end. What it cuts short then is in the
// journal, as after a crash.
const stopLimit = 30 * time.Second

// serve runs the daemon until ctx ends.
func serve(ctx context.Context, file config.File, path string, log *slog.Logger) error {
	defer forceEnd(ctx, stopLimit, func() {
		stacks := make([]byte, 1<<20)
		log.Error("something does not end; going down without it", "after", stopLimit, "stacks", string(stacks[:runtime.Stack(stacks, true)]))
		os.Exit(1)
	})()
	account, err := lookup(file.User)
	if err != nil {
		return err
	}
	if err := makeDirs(file); err != nil {
		return err
	}
	if err := installHooks(file); err != nil {
		return err
	}
	unlock, err := lockState(file.State)
	if err != nil {
		return err
	}
	defer unlock()
	// A restore that was cut short goes on first.
	if err := finishRestore(file, path, account); err != nil {
		return err
	}
	d, closeAll, err := wire(ctx, file, account, log)
	if err != nil {
		return err
	}
	defer closeAll()

	listener, err := openSocket(file, account)
	if err != nil {
		return err
	}
	defer listener.Close()
	defer watchdog.Start()() // from the start on, which waits for Podman as long as that takes
	first := func(ctx context.Context) error { return resumeRestore(ctx, file, path, account, d, log) }
	if err := errors.Join(reconcile(ctx, first, log), reconcile(ctx, d.Reconcile, log)); err != nil {
		return err
	}
	for _, loop := range d.Loops() {
		go keepOn(ctx, loop)
	}
	_, _ = sd.SdNotify(false, sd.SdNotifyReady)
	log.Info("ready", "socket", listener.Addr().String(), "version", command.Version)

	h, err := newHost(ctx, file, path, account, d)
	if err != nil {
		return err
	}
	go keepOn(ctx, func(ctx context.Context) { h.backups.Run(ctx, log) })
	table, idle, members := command.New(rooms(d), h.commands()), newIdler(), newCrowd(file.Limits.Connections)
	allow := func(uid uint32) bool { return uid == 0 || uid == account.uid }
	err = socket.Serve(ctx, listener, allow, func(ctx context.Context, c *socket.Call) int {
		defer idle.work()()
		leave, ok := members.enter(c.Member)
		if !ok {
			fmt.Fprintf(c.Stderr, " !     %s has %d connections, and no member may have more at a time\n", c.Member, file.Limits.Connections)
			fmt.Fprintln(c.Stderr, "       end a command, push or forward first, or have an administrator raise connections under [limits] in towline.toml")
			return 6 // a conflict, as daemon/command has it
		}
		defer leave()
		return handle(ctx, table, account, c)
	})
	_, _ = sd.SdNotify(false, sd.SdNotifyStopping)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// forceEnd calls force when limit is over since the end of ctx, unless ended is called
// before that.
func forceEnd(ctx context.Context, limit time.Duration, force func()) (ended func()) {
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(limit):
			force()
		case <-over:
		}
	})
	return func() { stop(); close(over) }
}

// handle turns a call on the socket into a request of the verb table. Only root may
// come without a member's name: the operator on the host.
func handle(ctx context.Context, table *command.Table, account account, c *socket.Call) int {
	if c.Member == "" && c.Uid != 0 {
		fmt.Fprintln(c.Stderr, " !     who are you? your key has no member's name")
		return 4
	}
	return table.Run(ctx, command.Request{
		Member: c.Member, Key: c.Key, Address: c.Address, App: c.App, Args: c.Args, Internal: c.Internal,
		Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr,
		Terminal: c.Terminal, Term: c.Term, Raw: c.Raw, End: c.End,
		Size: daemon.Size{Rows: c.Rows, Cols: c.Cols}, Resize: c.Resize,
		Width: int(c.Width), Colour: c.Colour,
	})
}

// reconcile waits for the engine and the proxy, which may start after the daemon.
func reconcile(ctx context.Context, f func(context.Context) error, log *slog.Logger) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := f(ctx)
		var e *daemon.Error
		if err == nil || ctx.Err() != nil || !errors.As(err, &e) || e.Kind != daemon.Unavailable {
			return err
		}
		log.Warn("waiting", "for", err.Error())
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// keepOn runs a loop, and again after a panic, until it returns by itself.
func keepOn(ctx context.Context, loop func(context.Context)) {
	for returned := false; !returned && ctx.Err() == nil; {
		func() {
			defer daemon.Contain("a loop of the daemon", nil)
			loop(ctx)
			returned = true
		}()
		if !returned {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}
}

// account is the system user that sshd logs in.
type account struct{ uid, gid uint32 }

func lookup(name string) (account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return account{}, fmt.Errorf("the account %q, which SSH users log in as, does not exist: %w", name, err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return account{}, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return account{uint32(uid), uint32(gid)}, err
}

// makeDirs makes the state directory, which others may pass through (sshd and git
// read below it as the account) but not list, and those below it.
func makeDirs(file config.File) error {
	for dir, mode := range map[string]os.FileMode{
		file.State: 0o711, filepath.Join(file.State, "ssh"): 0o755, filepath.Join(file.State, "git"): 0o711,
		filepath.Join(file.State, "work"): 0o700, filepath.Join(file.State, "build"): 0o711,
		filepath.Join(file.State, "logs"): 0o700, filepath.Join(file.State, "addons"): 0o700,
		filepath.Join(file.State, "backups"): 0o700, addons.PluginDir(file.State): 0o755, file.Run: 0o755,
	} {
		if err := os.MkdirAll(dir, mode); err != nil {
			return err
		}
		if err := os.Chmod(dir, mode); err != nil {
			return err
		}
	}
	return nil
}
