package daemon

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxPath bounds the names that WalkRoot visits, in bytes, as the kernel bounds paths.
const maxPath = 4096

// WalkRoot calls visit for a directory and for all that is below it, each with its name
// relative to root ("." for root itself), in order. Who writes to the tree meanwhile may put
// a link in the place of a directory: none is followed, nor any path out of root. A
// directory that can't be read is visited once more with the error; an error of visit's ends
// the walk, but for fs.SkipDir, which keeps it from what is below that name. Unlike
// fs.WalkDir it takes names of any bytes.
func WalkRoot(root *os.Root, visit func(name string, err error) error) error {
	return walkRoot(root, ".", true, visit)
}

func walkRoot(root *os.Root, name string, dir bool, visit func(name string, err error) error) error {
	err := visit(name, nil)
	if err == nil && dir {
		err = walkBelow(root, name, visit)
	}
	if errors.Is(err, fs.SkipDir) {
		return nil
	}
	return err
}

func walkBelow(root *os.Root, name string, visit func(name string, err error) error) error {
	entries, err := readDir(root, name)
	if err != nil {
		return visit(name, err)
	}
	for _, e := range entries {
		if err := walkRoot(root, filepath.Join(name, e.Name()), e.IsDir(), visit); err != nil {
			return err
		}
	}
	return nil
}

func readDir(root *os.Root, name string) ([]fs.DirEntry, error) {
	if len(name) > maxPath {
		return nil, &fs.PathError{Op: "open", Path: name[:64] + "...", Err: syscall.ENAMETOOLONG}
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

// MovedMeanwhile tells that an error of WalkRoot's, or of a method of its root, is due to
// somebody who changes the tree: what was listed is gone, is another kind of thing, or has
// become a link out of root.
func MovedMeanwhile(err error) bool {
	if err == nil {
		return false
	}
	for _, cause := range []error{fs.ErrNotExist, syscall.EINVAL, syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return strings.HasSuffix(err.Error(), "path escapes from parent") // which the os package has no name for
}
