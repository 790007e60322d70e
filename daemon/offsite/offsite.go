// Package offsite keeps encrypted second copies of backups by restic, on any storage
// that restic knows: S3-compatible ones and SFTP among them. Each backup is a snapshot
// whose tag is the backup's ID, so that anyone with the password can restore it by
// restic alone. See docs/backups.md.
package offsite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"towline/daemon"
)

// Options say where copies go.
type Options struct {
	Repository   string            // as restic has it: s3:https://host/bucket, sftp:user@host:/path
	PasswordFile string            // encrypts the repository: without it the copies are lost
	Env          map[string]string // for restic, like AWS_ACCESS_KEY_ID
	Flags        []string          // for restic, like "-o", "sftp.args=-i /root/.ssh/backup"
	Dir          string            // of the vault: each backup is a folder
	Timeout      time.Duration     // of one call; 0: six hours
	AskTimeout   time.Duration     // of one that moves little; 0: five minutes
}

// Offsite is one restic repository.
type Offsite struct {
	o       Options
	writing sync.Mutex   // one upload or removal at a time
	pruning sync.RWMutex // a removal alone may disturb a fetch; taken after writing
	ready   bool         // the repository is known to exist; writing guards it
}

var _ daemon.Offsite = (*Offsite)(nil)

// host is the same for all snapshots: a repository may outlive the machine.
const host = "towline"

// New checks that restic and the password are there. The server may be gone.
func New(o Options) (*Offsite, error) {
	if _, err := exec.LookPath("restic"); err != nil {
		return nil, fmt.Errorf("offsite copies need restic: apt install restic")
	}
	info, err := os.Stat(o.PasswordFile)
	if err != nil {
		return nil, fmt.Errorf("offsite.password_file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("offsite.password_file: others can read %s: chmod 600 it", o.PasswordFile)
	}
	if o.Timeout == 0 {
		o.Timeout = 6 * time.Hour
	}
	if o.AskTimeout == 0 {
		o.AskTimeout = askTimeout
	}
	return &Offsite{o: o}, nil
}

// Place implements daemon.Offsite. Credentials are never part of a repository's name.
func (s *Offsite) Place() string { return s.o.Repository }

// Upload implements daemon.Offsite.
func (s *Offsite) Upload(ctx context.Context, id string) (err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.prepare(ctx); err != nil {
		return err
	}
	defer s.lookAgain(&err)
	found, err := s.find(ctx, id)
	if err != nil || len(found) > 0 {
		return err
	}
	_, err = s.restic(ctx, "backup", "--quiet", "--host", host, "--tag", id, filepath.Join(s.o.Dir, id))
	return err
}

// lookAgain has the repository looked at again after an error: a lock may be left there, or
// another disk be in its place.
func (s *Offsite) lookAgain(err *error) { s.ready = s.ready && *err == nil }

// Fetch implements daemon.Offsite. A restore is urgent: it waits for no upload, and a
// lock that somebody left in the repository does not stop it.
func (s *Offsite) Fetch(ctx context.Context, id string) (err error) {
	s.pruning.RLock()
	defer s.pruning.RUnlock()
	snapshots, err := s.find(ctx, id)
	if err != nil {
		return err
	}
	if len(snapshots) == 0 {
		return daemon.Errorf(daemon.NotFound, "there is no copy of %s at %s", id, s.Place())
	}
	// A .partial that a crash leaves is removed at the next start.
	tmp := filepath.Join(s.o.Dir, id+".partial")
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if _, err := s.restic(ctx, "restore", "--quiet", "--no-lock", "--target", tmp, snapshots[len(snapshots)-1]); err != nil {
		return err
	}
	// The snapshot has the whole path of the vault in which it was taken.
	var folder string
	err = filepath.WalkDir(tmp, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() && e.Name() == id {
			folder = path
			return filepath.SkipAll
		}
		return err
	})
	if err != nil {
		return err
	}
	if folder == "" {
		return fmt.Errorf("the copy at %s does not hold %s", s.Place(), id)
	}
	return os.Rename(folder, filepath.Join(s.o.Dir, id))
}

// Forget implements daemon.Offsite.
func (s *Offsite) Forget(ctx context.Context, id string) (err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.prepare(ctx); err != nil {
		return err
	}
	defer s.lookAgain(&err)
	snapshots, err := s.find(ctx, id)
	if err != nil || len(snapshots) == 0 {
		return err
	}
	s.pruning.Lock()
	defer s.pruning.Unlock()
	_, err = s.restic(ctx, append([]string{"forget", "--quiet", "--prune"}, snapshots...)...)
	return err
}

// find lists the snapshots of a backup, oldest first. There may be two: an upload can
// outlive the daemon that began it.
func (s *Offsite) find(ctx context.Context, id string) (snapshots []string, err error) {
	list, err := s.list(ctx, id)
	for _, snapshot := range list {
		snapshots = append(snapshots, snapshot.ID)
	}
	return snapshots, err
}

// snapshot is one of restic's.
type snapshot struct {
	ID    string   `json:"id"`
	Paths []string `json:"paths"`
}

// list are the snapshots with a tag, oldest first.
func (s *Offsite) list(ctx context.Context, tag string) (list []snapshot, err error) {
	out, err := s.ask(ctx, "snapshots", "--json", "--no-lock", "--tag", tag)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, fmt.Errorf("restic snapshots: %w", err)
	}
	return list, nil
}

// askTimeout bounds what moves little. A server that hangs is one that is gone: whoever waits
// for it is told so, and others that wait for them go on.
const askTimeout = 5 * time.Minute

// ask is restic for a question, or for what is as quick.
func (s *Offsite) ask(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.AskTimeout)
	defer cancel()
	return s.restic(ctx, args...)
}

// restic runs it by its words, never by a shell. Secrets are in files and in its
// environment, which only root can see.
func (s *Offsite) restic(ctx context.Context, args ...string) ([]byte, error) {
	var stdout bytes.Buffer
	err := s.stream(ctx, &stdout, args...)
	return stdout.Bytes(), err
}

// stream is restic with its output to w.
func (s *Offsite) stream(ctx context.Context, w io.Writer, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "restic", append(append([]string{}, s.o.Flags...), args...)...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/root", "RESTIC_REPOSITORY=" + s.o.Repository, "RESTIC_PASSWORD_FILE=" + s.o.PasswordFile,
		"RESTIC_CACHE_DIR=" + filepath.Join(filepath.Dir(s.o.Dir), "restic-cache"), "RESTIC_PROGRESS_FPS=0.01",
	}
	for key, value := range s.o.Env {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	// Ended politely, it removes its lock. The ssh that it has started would wait on for a
	// server that hangs.
	var started []*os.Process
	cmd.Cancel = func() error {
		started = childrenOf(cmd.Process.Pid)
		return cmd.Process.Signal(os.Interrupt)
	}
	cmd.WaitDelay = 10 * time.Second
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &stderr
	err := cmd.Run()
	for _, p := range started {
		_ = p.Kill() // it may have ended
		_ = p.Release()
	}
	if err != nil {
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			err = fmt.Errorf("%s does not answer: %w", s.Place(), err)
		}
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		return fmt.Errorf("restic %s: %w: %s", args[0], err, strings.Join(lines[max(0, len(lines)-3):], "; "))
	}
	return nil
}

// childrenOf are the processes that one has started.
func childrenOf(pid int) (list []*os.Process) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well formed
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		var state string
		var parent int
		_, rest, _ := strings.Cut(string(text), ") ") // behind its name
		if _, err := fmt.Sscan(rest, &state, &parent); err != nil || parent != pid {
			continue
		}
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			continue
		}
		if p, err := os.FindProcess(child); err == nil {
			list = append(list, p)
		}
	}
	return list
}
