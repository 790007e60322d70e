package git

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"towline/daemon"
)

// Limits bound what an archive may unpack to. Zero means the default.
type Limits struct {
	Bytes int64 // of all files together; default 2 GiB
	Files int   // entries of any kind; default 200,000
}

// Unpacker is a daemon.Unpacker.
type Unpacker struct{ limits Limits }

var _ daemon.Unpacker = (*Unpacker)(nil)

// NewUnpacker returns an Unpacker that refuses what goes beyond limits.
func NewUnpacker(limits Limits) *Unpacker {
	if limits.Bytes == 0 {
		limits.Bytes = 2 << 30
	}
	if limits.Files == 0 {
		limits.Files = 200_000
	}
	return &Unpacker{limits}
}

// Unpack implements daemon.Unpacker. Files get the modes that git knows, 0644 and
// 0755, whatever the archive says, and belong to the caller. Symbolic links are
// kept, wherever they point: who reads the directory must not follow them out of
// it. On error what was unpacked so far stays; the directory is the caller's.
func (u *Unpacker) Unpack(ctx context.Context, archive io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("unpacking the source: %w", err)
	}
	defer root.Close()
	r, err := decompress(&cancelReader{ctx, archive})
	if err != nil {
		return unreadable(ctx, err)
	}
	x := &extraction{root: root, limits: u.limits, dirs: map[string]bool{".": true}}
	counted := &countReader{r: r}
	for files := tar.NewReader(counted); ; {
		counted.n = 0
		h, err := files.Next()
		if err == io.EOF && counted.n < tarBlock {
			// There is no mark of the end: the sender was cut off between two files.
			err = io.ErrUnexpectedEOF
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return unreadable(ctx, err)
		}
		if err := x.entry(h, files); err != nil {
			return unreadable(ctx, err)
		}
	}
	if err := x.lfs.check(); err != nil {
		return err
	}
	// The padding is read, so that a sender does not see its pipe close early; an
	// archive of more than that is not the tar that it seemed to be.
	const padding = 1 << 20
	if _, err := io.CopyN(io.Discard, r, padding); err != nil && err != io.EOF {
		return unreadable(ctx, err)
	}
	return nil
}

const tarBlock = 512

// countReader counts what was read.
type countReader struct {
	r io.Reader
	n int64
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// extraction is the work on one archive.
type extraction struct {
	root   *os.Root
	limits Limits
	bytes  int64
	files  int
	dirs   map[string]bool // real directories, not links to some
	lfs    lfsWatch
}

func (x *extraction) entry(h *tar.Header, content io.Reader) error {
	if x.files++; x.files > x.limits.Files {
		return refused("the source has more than %d files", x.limits.Files).WithHint("leave out what is not source, with .gitignore")
	}
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil // git archive puts the commit there
	}
	name, err := localName(h.Name)
	if err != nil {
		return err
	}
	if name == "." {
		return nil
	}
	if h.Typeflag == tar.TypeDir {
		return x.mkdirAll(name)
	}
	if err := x.makeRoom(name); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg:
		return x.file(name, h, content)
	case tar.TypeSymlink:
		if h.Linkname == "" || strings.Contains(h.Linkname, "\x00") {
			return refused("the link %q in the archive points nowhere", clip(name))
		}
		return x.root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		return x.hardLink(name, h.Linkname)
	}
	return refused("%q in the archive is neither a file, a directory nor a link", clip(name)).
		WithHint("devices, pipes and sockets cannot be deployed")
}

// Far beyond what source needs, these keep each path cheap to walk.
const (
	maxPath  = 4096 // bytes
	maxDepth = 200  // directories
)

// localName checks a path of the archive. Even a ".." that stays inside is none
// that an honest program writes.
func localName(name string) (string, error) {
	bad := name == "" || strings.HasPrefix(name, "/") || strings.Contains(name, "\x00")
	for part := range strings.SplitSeq(name, "/") {
		bad = bad || part == ".."
	}
	if bad {
		return "", refused("the path %q in the archive leads out of it", clip(name)).WithHint("make the archive with: git archive HEAD")
	}
	name = path.Clean(name)
	if len(name) > maxPath || strings.Count(name, "/") > maxDepth {
		return "", refused("the path %q in the archive is too long", clip(name))
	}
	return name, nil
}

// mkdirAll makes a directory and those above it. What is in the way and not a
// directory, a link to one included, is an error.
func (x *extraction) mkdirAll(name string) error {
	if x.dirs[name] {
		return nil
	}
	if err := x.mkdirAll(path.Dir(name)); err != nil {
		return err
	}
	err := x.root.Mkdir(name, 0o755)
	if errors.Is(err, fs.ErrExist) {
		info, err := x.root.Lstat(name)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return refused("%q is in the archive as a directory and as something else", clip(name))
		}
	} else if err != nil {
		return err
	} else if err := x.root.Chmod(name, 0o755); err != nil { // whatever the umask is
		return err
	}
	x.dirs[name] = true
	return nil
}

// makeRoom makes the directory above name and removes what an earlier entry of the
// same name left, so that nothing is ever written through it.
func (x *extraction) makeRoom(name string) error {
	if err := x.mkdirAll(path.Dir(name)); err != nil {
		return err
	}
	info, err := x.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return refused("%q is in the archive as a directory and as something else", clip(name))
	}
	return x.root.Remove(name)
}

func (x *extraction) file(name string, h *tar.Header, content io.Reader) error {
	mode := fs.FileMode(0o644)
	if h.Mode&0o111 != 0 {
		mode = 0o755
	}
	f, err := x.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	left := x.limits.Bytes - x.bytes
	n, err := io.Copy(f, x.lfs.watch(name, h.Size, io.LimitReader(content, left+1)))
	x.bytes += n
	if err == nil && n > left {
		err = refused("the source is larger than %d MB", x.limits.Bytes/1_000_000).
			WithHint("leave out what is not source, with .gitignore; large files belong into a service of their own")
	}
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err != nil {
		return err
	}
	if t := h.ModTime; t.Unix() > 0 && t.Before(time.Unix(1<<32, 0)) {
		return x.root.Chtimes(name, t, t) // name is the regular file just made
	}
	return nil
}

// hardLink links to a file that the archive has brought. Links through symbolic
// links are refused: they could lead to any file.
func (x *extraction) hardLink(name, target string) error {
	target, err := localName(target)
	if err != nil {
		return err
	}
	for above := path.Dir(target); above != "."; above = path.Dir(above) {
		if !x.dirs[above] {
			return refused("the link %q in the archive points to nothing in it", clip(name))
		}
	}
	info, err := x.root.Lstat(target)
	if err != nil || !info.Mode().IsRegular() {
		return refused("the link %q in the archive points to no file in it", clip(name))
	}
	return x.root.Link(target, name)
}

// decompress finds out by the first bytes what the archive is.
func decompress(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(6)
	if len(head) == 0 {
		if err != io.EOF {
			return nil, err
		}
		return nil, refused("the archive is empty").WithHint("send one to standard input: git archive HEAD | towline deploy:archive")
	}
	for _, other := range []struct{ magic, name string }{
		{"BZh", "bzip2"}, {"\xfd7zXZ", "xz"}, {"\x28\xb5\x2f\xfd", "zstd"}, {"PK", "zip"},
	} {
		if bytes.HasPrefix(head, []byte(other.magic)) {
			return nil, refused("the archive is packed by %s", other.name).WithHint("send a .tar or a .tar.gz")
		}
	}
	if !bytes.HasPrefix(head, []byte("\x1f\x8b")) {
		return b, nil
	}
	z, err := gzip.NewReader(b)
	if err != nil {
		return nil, err
	}
	return z, nil
}

// unreadable tells a broken archive from a broken disk and from the end of ctx.
func unreadable(ctx context.Context, err error) error {
	var deflate flate.CorruptInputError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return refused("the archive ends too early").WithHint("send it again")
	case errors.Is(err, tar.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.As(err, &deflate):
		return refused("this is not a tar archive, or a damaged one: %w", err).WithHint("send a .tar or a .tar.gz")
	case errors.As(err, new(*daemon.Error)):
		return err
	}
	return fmt.Errorf("unpacking the source: %w", err)
}

func refused(format string, args ...any) *daemon.Error {
	return daemon.Errorf(daemon.Invalid, format, args...)
}

// clip keeps a hostile name from filling the user's screen.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}

// cancelReader ends when ctx does. A Read that hangs is the sender's to end.
type cancelReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
