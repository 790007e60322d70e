package vault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"towline/daemon"
)

// picture describes a tree so that two of them can be compared: kinds, modes, owners,
// times of files, links and contents.
func picture(t *testing.T, dir string) map[string]string {
	t.Helper()
	seen := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		st := info.Sys().(*syscall.Stat_t)
		text := fmt.Sprintf("%s %d:%d %d", info.Mode(), st.Uid, st.Gid, info.ModTime().UnixNano())
		switch {
		case info.Mode().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %d %x", len(b), sha256.Sum256(b))
		case info.Mode()&fs.ModeSymlink != 0:
			link, _ := os.Readlink(path)
			text = "link " + link
		}
		seen[name] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

func sameTree(t *testing.T, a, b string) {
	t.Helper()
	pa, pb := picture(t, a), picture(t, b)
	for name := range pa {
		if pa[name] != pb[name] {
			t.Errorf("%s: %q, the copy %q", name, pa[name], pb[name])
		}
	}
	for name := range pb {
		if pa[name] == "" {
			t.Errorf("%s is in the copy alone", name)
		}
	}
}

// writer changes a tree as databases do, and worse, from a seed.
type writer struct {
	dir string
	r   *rand.Rand
}

func (w *writer) name() string {
	return filepath.Join(w.dir, fmt.Sprintf("d%d", w.r.IntN(3)), fmt.Sprintf("f%d", w.r.IntN(6)))
}

// step makes one change. Errors are part of it: names come and go.
func (w *writer) step() {
	path := w.name()
	switch w.r.IntN(12) {
	case 0:
		_ = os.MkdirAll(filepath.Dir(path), 0o755)
		_ = os.WriteFile(path, make([]byte, w.r.IntN(3*blockSize)), 0o640)
	case 1:
		_ = os.RemoveAll(path)
	case 2:
		_ = os.Rename(path, w.name())
	case 3:
		_ = os.Truncate(path, int64(w.r.IntN(10*blockSize)))
	case 4:
		_ = os.Chmod(path, fs.FileMode(0o600+w.r.IntN(64)))
	case 5:
		_ = os.Lchown(path, w.r.IntN(1000), w.r.IntN(1000))
	case 6:
		_ = os.RemoveAll(path)
		_ = os.Symlink("somewhere", path)
	case 7:
		_ = os.RemoveAll(filepath.Dir(path))
	case 8: // a file becomes a directory
		_ = os.Remove(path)
		_ = os.MkdirAll(filepath.Join(path, "below"), 0o700)
		_ = os.WriteFile(filepath.Join(path, "below", "x"), []byte("x"), 0o600)
	case 9: // room set aside, as for a log, and holes
		if f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err == nil {
			_ = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE*uint32(w.r.IntN(2)), 0, int64(w.r.IntN(20*blockSize)+1))
			_ = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(w.r.IntN(5*blockSize)), int64(w.r.IntN(5*blockSize)+1))
			f.Close()
		}
	default:
		w.write(path)
	}
}

// write changes a few bytes, by a call or through a mapping, keeping the size or not.
func (w *writer) write(path string) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	b := make([]byte, w.r.IntN(300)+1)
	for i := range b {
		b[i] = byte(w.r.Uint32())
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	at := w.r.Int64N(info.Size() + blockSize)
	if w.r.IntN(3) == 0 && info.Size() > 0 {
		m, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err == nil {
			copy(m[w.r.IntN(len(m)):], b)
			_ = unix.Munmap(m)
		}
		return
	}
	_, _ = f.WriteAt(b, at)
}

func testMirror(t *testing.T, base string, rounds int) {
	for round := range rounds {
		src, dst := filepath.Join(base, fmt.Sprint("src", round)), filepath.Join(base, fmt.Sprint("dst", round))
		for _, dir := range []string{src, dst} {
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		w := &writer{src, rand.New(rand.NewPCG(1, uint64(round)))}
		for range 60 {
			w.step()
		}
		m := (&Vault{}).Mirror(map[string]string{src: dst})
		stop := make(chan struct{})
		var writing sync.WaitGroup
		writing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					w.step()
				}
			}
		})
		var err error
		for range 3 {
			if _, err = m.Pass(t.Context(), false); err != nil {
				break
			}
		}
		close(stop)
		writing.Wait()
		if err == nil {
			_, err = m.Pass(t.Context(), true)
		}
		if err != nil {
			t.Fatal(err)
		}
		sameTree(t, src, dst)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
		if err := os.RemoveAll(dst); err != nil {
			t.Fatal(err)
		}
	}
}

// The copy of a frozen pass equals the source, whatever was written during those
// before.
func TestMirrorEqualsTheFrozenState(t *testing.T) {
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	testMirror(t, t.TempDir(), rounds)
}

func TestMirrorReadsOnlyWhatChanged(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	const big = 32 << 20
	b := make([]byte, big)
	for i := range b {
		b[i] = byte(i>>8 ^ i)
	}
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(src, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := (&Vault{}).Mirror(map[string]string{src: dst})
	pass := func() daemon.Pass {
		p, err := m.Pass(t.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	pass()
	time.Sleep(2 * grain) // until the files' times are told apart from a write's
	pass()
	if p := pass(); p.Read != 0 || p.Written != 0 {
		t.Errorf("nothing has changed, and a pass reads %d and writes %d bytes", p.Read, p.Written)
	}
	f, err := os.OpenFile(filepath.Join(src, "a"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("x"), big/2); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if p := pass(); p.Read != big || !m.(*Mirror).clone && p.Written != blockSize {
		t.Errorf("a byte has changed, and a pass reads %d and writes %d bytes", p.Read, p.Written)
	}
	sameTree(t, src, dst)
}

func TestMirrorIsCutShort(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(src, "a"), bytes.Repeat([]byte("x"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := (&Vault{}).Mirror(map[string]string{src: dst})
	if _, err := m.Pass(ctx, false); err == nil {
		t.Error("a pass of an ended context succeeds")
	}
	if _, err := m.Pass(t.Context(), true); err != nil {
		t.Error(err)
	}
	sameTree(t, src, dst)
}
