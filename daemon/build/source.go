package build

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"towline/daemon"
)

const maxContainerfile = 1 << 20

// containerfileNames in the order in which the first that is there counts.
var containerfileNames = []string{"Dockerfile", "Containerfile"}

// findContainerfile is the name of the source's Dockerfile, or empty. A link or a
// directory of that name is an error: whoever committed it expects it to be used.
func findContainerfile(source string) (string, error) {
	root, err := os.OpenRoot(source)
	if err != nil {
		return "", err
	}
	defer root.Close()
	for _, name := range containerfileNames {
		info, err := root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		if !info.Mode().IsRegular() || info.Size() > maxContainerfile {
			return "", daemon.Errorf(daemon.Invalid, "%s is not a file of at most 1 MiB", name).
				WithHint("commit it as a plain file at the top of the repository")
		}
		return name, nil
	}
	return "", nil
}

// handOver gives every file below dir to the user and group that the ids of a
// build's container stand for on the host, and, with groupWrite, its group the
// right to write. Links are changed, never followed. Nothing may run in dir
// meanwhile.
//
// What is neither file, directory nor link is removed, and a file known by a name
// outside dir is an error: it would be handed over there too.
func handOver(dir string, uid, gid int, groupWrite bool) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	links := map[uint64]*linked{} // by inode
	err = fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode := info.Mode()
		if !mode.IsRegular() && !mode.IsDir() && mode.Type() != fs.ModeSymlink {
			return root.Remove(path)
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && mode.IsRegular() && stat.Nlink > 1 {
			if links[stat.Ino] == nil {
				links[stat.Ino] = &linked{path, uint64(stat.Nlink)}
			}
			links[stat.Ino].unseen--
			return nil // until all its names are known to be in here
		}
		return handOverOne(root, path, mode, uid, gid, groupWrite)
	})
	if err != nil || len(links) == 0 {
		return err
	}
	return handOverLinked(root, links, uid, gid, groupWrite)
}

func handOverOne(root *os.Root, path string, mode fs.FileMode, uid, gid int, groupWrite bool) error {
	if err := root.Lchown(path, uid, gid); err != nil {
		return err
	}
	if mode.Type() == fs.ModeSymlink {
		return nil
	}
	want := mode.Perm() // and no bit that lends a file's owner to who runs it
	if groupWrite {
		want |= 0o060
		if mode.IsDir() {
			want |= 0o010
		}
	}
	if want == mode&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) {
		return nil
	}
	return root.Chmod(path, want)
}

// linked is a file with several names.
type linked struct {
	path   string // one of them
	unseen uint64 // names not seen yet
}

// handOverLinked does the files with several names, once all were found.
func handOverLinked(root *os.Root, links map[uint64]*linked, uid, gid int, groupWrite bool) error {
	for _, file := range links {
		if file.unseen != 0 {
			return daemon.Errorf(daemon.Invalid, "%q of the source has another name outside of it", file.path)
		}
	}
	return fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Nlink > 1 {
			return handOverOne(root, path, info.Mode(), uid, gid, groupWrite)
		}
		return nil
	})
}

// makeDir makes an empty directory of a build's user.
func makeDir(path string, uid, gid int) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	return os.Lchown(path, uid, gid)
}

// writeFile makes a new file of a build's user, which no one else can read.
func writeFile(path, text string, uid, gid int) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chown(uid, gid), f.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// replaceFile writes a file so that it is never seen half-written.
func replaceFile(path string, text []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, text, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// ownedBy tells whether path is a directory of the user and group.
func ownedBy(path string, uid, gid int) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == uid && int(stat.Gid) == gid
}

// readPlain reads a file of the source by its path; nil: it is not there. Neither it nor a
// directory on the way may be a link: what is built is what the path says.
func readPlain(source, name string, most int64) ([]byte, error) {
	root, err := os.OpenRoot(source)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	for i, c := range name {
		if c != '/' {
			continue
		}
		info, err := root.Lstat(name[:i])
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil || !info.IsDir() {
			return nil, notPlain(name, "a file that can be read: "+daemon.Clip(name[:i])+" is no directory")
		}
	}
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, notPlain(name, "a file that can be read")
	case info.IsDir():
		return nil, notPlain(name, "a file, but a directory")
	case !info.Mode().IsRegular():
		return nil, notPlain(name, "a file, but a link or the like")
	case info.Size() > most:
		return nil, notPlain(name, "a file of at most "+daemon.BytesText(most))
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most))
	if text == nil {
		text = []byte{}
	}
	return text, err
}

func notPlain(name, what string) error {
	return daemon.Errorf(daemon.Invalid, "%s is not %s", daemon.Clip(name), what).
		WithHint("commit it as a plain file, not as a link or below one")
}
