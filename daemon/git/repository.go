// Package git keeps what pushing needs on disk: the apps' bare repositories, the
// list of SSH keys that sshd accepts, and source unpacked for a build.
package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"towline/daemon"
)

// Repositories is a daemon.Repositories: DIR/APP.git, bare, owned by the account
// that git runs as for a push. The directory itself stays the daemon's, so that
// account can neither make a repository nor replace one.
type Repositories struct {
	dir      string
	uid, gid int
	limit    time.Duration // of each run of git
}

var _ daemon.Repositories = (*Repositories)(nil)

// NewRepositories keeps repositories in dir, which it makes if need be, owned by
// uid and gid.
func NewRepositories(dir string, uid, gid int) *Repositories {
	return &Repositories{dir: dir, uid: uid, gid: gid, limit: gitLimit}
}

// Path implements daemon.Repositories.
func (r *Repositories) Path(app string) string { return filepath.Join(r.dir, app+".git") }

// settings of a repository, next to those that git init makes. What a push sends
// is on disk before the push is answered, and is checked: the daemon works on it.
// Mistakes that old, popular projects have in their history are let pass.
const settings = `[core]
	fsync = committed,loose-object
	logAllRefUpdates = false
[receive]
	denyDeletes = true
	fsckObjects = true
[receive "fsck"]
	badTimezone = ignore
	missingSpaceBeforeDate = ignore
	missingSpaceBeforeEmail = ignore
	zeroPaddedFilemode = ignore
`

// Create makes an empty repository whose first branch is main. One that is there
// already is left as it is, without an error. A crash leaves all of it or none:
// it is made under another name.
func (r *Repositories) Create(ctx context.Context, app string) error {
	if err := daemon.CheckAppName(app); err != nil {
		return err
	}
	if _, err := os.Lstat(r.Path(app)); err == nil {
		return nil
	}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return fmt.Errorf("creating the repository of %s: %w", app, err)
	}
	temp := r.hidden(app, "new")
	err := os.RemoveAll(temp) // of a crash
	if err == nil {
		err = r.create(ctx, temp)
	}
	if err == nil {
		err = os.Rename(temp, r.Path(app))
	}
	if err == nil {
		err = syncDir(r.dir)
	}
	if err != nil {
		return fmt.Errorf("creating the repository of %s: %w", app, errors.Join(err, os.RemoveAll(temp)))
	}
	return nil
}

// create makes the repository at path and has it on disk when it returns.
func (r *Repositories) create(ctx context.Context, path string) error {
	if err := os.Mkdir(path, 0o750); err != nil {
		return err
	}
	if err := os.Chown(path, r.uid, r.gid); err != nil {
		return err
	}
	if err := r.git(ctx, path, "init", "--quiet", "--bare", "--template=", "--initial-branch=main", "."); err != nil {
		return err
	}
	// The account owns the directory by now: nothing it could put there is followed.
	root, err := os.OpenRoot(path)
	if err != nil {
		return err
	}
	defer root.Close()
	f, err := root.OpenFile("config", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(settings)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return fs.WalkDir(root.FS(), ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		f, err := root.Open(name)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

// Remove deletes the repository; none there is no error. A crash leaves all of it
// or nothing that anybody sees.
func (r *Repositories) Remove(_ context.Context, app string) error {
	if err := daemon.CheckAppName(app); err != nil {
		return err
	}
	gone := r.hidden(app, "removed")
	err := os.RemoveAll(gone) // of a crash
	if err == nil {
		err = os.Rename(r.Path(app), gone)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	if err := errors.Join(err, os.RemoveAll(gone)); err != nil {
		return fmt.Errorf("removing the repository of %s: %w", app, err)
	}
	return nil
}

// hidden is a name that is no app's.
func (r *Repositories) hidden(app, why string) string {
	return filepath.Join(r.dir, "."+app+"."+why)
}

// gitLimit bounds what git does by itself: a repository is made in milliseconds.
const gitLimit = 2 * time.Minute

// git runs git as the repositories' owner, with nothing of the daemon's
// environment.
func (r *Repositories) git(ctx context.Context, dir string, args ...string) error {
	return r.gitTo(ctx, nil, dir, args...)
}

// gitTo has its output in out.
func (r *Repositories) gitTo(ctx context.Context, out io.Writer, dir string, args ...string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.limit, daemon.Errorf(daemon.Failed, "git did not end within %s", r.limit))
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.WaitDelay = 10 * time.Second
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "HOME=/nonexistent",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
	}
	if r.uid != os.Getuid() || r.gid != os.Getgid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(r.uid), Gid: uint32(r.gid)}}
	}
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("git %s: %w", args[0], context.Cause(ctx))
		}
		return fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
