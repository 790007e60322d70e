package plugins

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A plugin is a manifest and perhaps a few words about it. More is a mistake, like
// a home directory.
const (
	maxFiles = 200
	maxBytes = 8 << 20
)

// Install copies a plugin's folder to NAME below root, whole or not at all: files and
// folders alone, without .git. One that was there is replaced in one step.
func Install(m *Manifest, root string) error {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	staging, err := os.MkdirTemp(root, ".new-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(staging) }()
	if err := os.Chmod(staging, 0o755); err != nil {
		return err
	}
	if err := copyTree(m.Dir(), staging); err != nil {
		return err
	}
	target := filepath.Join(root, m.Name)
	err = unix.Renameat2(unix.AT_FDCWD, staging, unix.AT_FDCWD, target, unix.RENAME_EXCHANGE)
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Rename(staging, target)
	}
	return errors.Join(err, syncDir(root))
}

// Uninstall removes a plugin that Install has copied.
func Uninstall(name, root string) error {
	if !serviceName.MatchString(name) {
		return fmt.Errorf("%q is not the name of a service", name)
	}
	gone := filepath.Join(root, ".old-"+name)
	if err := os.RemoveAll(gone); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(root, name), gone); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(gone), syncDir(root))
}

func copyTree(from, to string) error {
	files, size := 0, int64(0)
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil || rel == "." {
			return err
		}
		dst := filepath.Join(to, rel)
		switch {
		case rel == ".git":
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case e.IsDir():
			files++
			return os.Mkdir(dst, 0o755)
		case !e.Type().IsRegular():
			return fmt.Errorf("%s is neither a file nor a folder", path)
		}
		n, err := copyFile(path, dst)
		files++
		size += n
		if err == nil && (files > maxFiles || size > maxBytes) {
			err = fmt.Errorf("%s holds more than %d files or %d MB: is it a plugin's folder?", from, maxFiles, maxBytes>>20)
		}
		return err
	})
}

func copyFile(from, to string) (int64, error) {
	r, err := os.OpenFile(from, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(w, io.LimitReader(r, maxBytes+1))
	return n, errors.Join(err, w.Sync(), w.Close())
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

var (
	gitURL = regexp.MustCompile(`^(https|ssh)://[A-Za-z0-9]`)
	scpURL = regexp.MustCompile(`^[A-Za-z0-9._-]+@[A-Za-z0-9][A-Za-z0-9.-]*:[^:]`)
	anyURL = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)
)

// IsURL tells whether source names a Git repository, and not a folder.
func IsURL(source string) bool { return anyURL.MatchString(source) || scpURL.MatchString(source) }

// Fetch clones a Git repository's newest commit into dir, which must not exist. Over
// https and ssh alone: others would be run here, or be read by anyone on the way.
// Nothing of it is run: no hooks, no submodules; links become files with their target
// in them. A repository larger than maxClone ends it.
func Fetch(ctx context.Context, source, dir string) error {
	if !gitURL.MatchString(source) && !scpURL.MatchString(source) {
		return fmt.Errorf("%q is not a Git address over https or ssh", source)
	}
	ctx, stop := context.WithTimeoutCause(ctx, cloneLimit, fmt.Errorf("git clone took more than %s", cloneLimit))
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go boundSize(ctx, dir, cancel)
	cmd := exec.CommandContext(ctx, "git", "-c", "core.hooksPath=/dev/null", "-c", "core.symlinks=false",
		"clone", "--quiet", "--depth", "1", "--single-branch", "--no-recurse-submodules", "--no-tags", "--template=", "--", source, dir)
	cmd.Env = append(os.Environ(), "GIT_ALLOW_PROTOCOL=https:ssh", "GIT_TERMINAL_PROMPT=0", "GIT_SSH_COMMAND=ssh -oBatchMode=yes", "LC_ALL=C")
	cmd.WaitDelay = 5e9 // nanoseconds: a helper of git's may hold its output open
	if out, err := cmd.CombinedOutput(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return fmt.Errorf("git clone: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return checkSize(dir)
}

// cloneLimit bounds the time of a clone: whoever installs another plugin waits for it.
const cloneLimit = 15 * time.Minute

// maxClone bounds a clone on disk, with what git keeps beside its files.
const maxClone = 4 * maxBytes

// boundSize cancels the work that fills dir once that is too much.
func boundSize(ctx context.Context, dir string, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := checkSize(dir); err != nil {
				cancel(err)
			}
		case <-ctx.Done():
			return
		}
	}
}

func checkSize(dir string) error {
	size := int64(0)
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil { // files come and go meanwhile
			return nil
		}
		if info, err := e.Info(); err == nil {
			size += info.Size()
		}
		return nil
	})
	if size > maxClone {
		return fmt.Errorf("the repository holds more than %d MB: is it a plugin's?", maxClone>>20)
	}
	return nil
}
