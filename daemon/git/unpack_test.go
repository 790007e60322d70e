package git_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"towline/daemon"
	"towline/daemon/git"
)

// entry is one of an archive; the type defaults to a regular file.
type entry struct {
	name, text, link string
	kind             byte
	mode             int64
}

func archive(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Mode: e.mode, Size: int64(len(e.text)), Format: tar.FormatPAX}
		if e.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if e.kind == tar.TypeXGlobalHeader {
			h = &tar.Header{Typeflag: e.kind, PAXRecords: map[string]string{"comment": "c0ffee"}, Format: tar.FormatPAX}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zip(t *testing.T, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(plain)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// tree lists what is below dir: "mode text" of files, "-> target" of links.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		name, _ := filepath.Rel(dir, p)
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			all[name] = "-> " + target
			return err
		case info.Mode().IsRegular():
			text, err := os.ReadFile(p)
			all[name] = fmt.Sprintf("%04o %s", info.Mode()&^fs.ModeType, text)
			return err
		}
		all[name] = info.Mode().String()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func same(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	if maps.Equal(got, want) {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if want[name] != got[name] {
			t.Errorf("%s: %s is %q, want %q", what, name, got[name], want[name])
		}
	}
	for name := range want {
		if _, ok := got[name]; !ok {
			t.Errorf("%s: no %s", what, name)
		}
	}
}

func TestUnpack(t *testing.T) {
	plain := archive(t,
		entry{kind: tar.TypeXGlobalHeader},
		entry{name: "./", kind: tar.TypeDir},
		entry{name: "./Procfile", text: "web: old"},
		entry{name: "Procfile", text: "web: run"},
		entry{name: "bin/", kind: tar.TypeDir, mode: 0o2700},
		entry{name: "bin/start", text: "#!", mode: 0o4711},
		entry{name: "lib/deep/er/private", text: "x", mode: 0o600},
		entry{name: "bin/go", kind: tar.TypeSymlink, link: "start"},
		entry{name: "passwd", kind: tar.TypeSymlink, link: "/etc/passwd"},
		entry{name: "copy", kind: tar.TypeLink, link: "bin/start"},
		entry{name: "was-a-link", kind: tar.TypeSymlink, link: "Procfile"},
		entry{name: "was-a-link", text: "now a file"},
	)
	want := map[string]string{
		"Procfile": "0644 web: run", "bin": "drwxr-xr-x", "bin/start": "0755 #!", "bin/go": "-> start", "copy": "0755 #!",
		"passwd": "-> /etc/passwd", "was-a-link": "0644 now a file",
		"lib": "drwxr-xr-x", "lib/deep": "drwxr-xr-x", "lib/deep/er": "drwxr-xr-x", "lib/deep/er/private": "0644 x",
	}
	for what, r := range map[string]io.Reader{
		"tar": bytes.NewReader(plain), "tar.gz": bytes.NewReader(zip(t, plain)), "byte by byte": iotest.OneByteReader(bytes.NewReader(plain)),
	} {
		dir := t.TempDir()
		if err := git.NewUnpacker(git.Limits{}).Unpack(t.Context(), r, dir); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		same(t, what, tree(t, dir), want)
	}
}

// TestUnpackHostile gives archives that no honest program writes: each is refused
// as the user's mistake, and nothing outside the directory changes.
func TestUnpackHostile(t *testing.T) {
	ok := entry{name: "ok", text: "fine"}
	outside := entry{name: "d", kind: tar.TypeSymlink, link: "../outside"}
	whole := archive(t, ok, entry{name: "big", text: strings.Repeat("x", 5000)})
	zipped := zip(t, whole)
	for name, c := range map[string]struct {
		archive []byte
		words   string
	}{
		"absolute path":           {archive(t, entry{name: "/etc/cron.d/x"}), "leads out of it"},
		"parent":                  {archive(t, entry{name: "../x"}), "leads out of it"},
		"parent further down":     {archive(t, entry{name: "a/../../x"}), "leads out of it"},
		"parent that stays in":    {archive(t, entry{name: "a/../x"}), "leads out of it"},
		"parent directory":        {archive(t, entry{name: "..", kind: tar.TypeDir}), "leads out of it"},
		"file through a link":     {archive(t, outside, entry{name: "d/victim", text: "gone"}), "directory and as something else"},
		"dir through a link":      {archive(t, outside, entry{name: "d/new/", kind: tar.TypeDir}), "directory and as something else"},
		"link made directory":     {archive(t, outside, entry{name: "d/", kind: tar.TypeDir}), "directory and as something else"},
		"through a link inside":   {archive(t, entry{name: "real/", kind: tar.TypeDir}, entry{name: "d", kind: tar.TypeSymlink, link: "real"}, entry{name: "d/x"}), "directory and as something else"},
		"link for a directory":    {archive(t, entry{name: "d/x"}, outside), "directory and as something else"},
		"file below a file":       {archive(t, ok, entry{name: "ok/x"}), "directory and as something else"},
		"hard link out":           {archive(t, entry{name: "h", kind: tar.TypeLink, link: "../outside/victim"}), "leads out of it"},
		"hard link, absolute":     {archive(t, entry{name: "h", kind: tar.TypeLink, link: "/etc/passwd"}), "leads out of it"},
		"hard link through link":  {archive(t, outside, entry{name: "h", kind: tar.TypeLink, link: "d/victim"}), "points to nothing in it"},
		"hard link to a link":     {archive(t, entry{name: "s", kind: tar.TypeSymlink, link: "../outside/victim"}, entry{name: "h", kind: tar.TypeLink, link: "s"}), "points to no file in it"},
		"hard link to nothing":    {archive(t, entry{name: "h", kind: tar.TypeLink, link: "nope"}), "points to no file in it"},
		"hard link to a dir":      {archive(t, entry{name: "d/", kind: tar.TypeDir}, entry{name: "h", kind: tar.TypeLink, link: "d"}), "points to no file in it"},
		"hard link to itself":     {archive(t, ok, entry{name: "ok", kind: tar.TypeLink, link: "ok"}), "points to no file in it"},
		"device":                  {archive(t, entry{name: "sda", kind: tar.TypeBlock}), "neither a file"},
		"character device":        {archive(t, entry{name: "mem", kind: tar.TypeChar}), "neither a file"},
		"pipe":                    {archive(t, entry{name: "p", kind: tar.TypeFifo}), "neither a file"},
		"link to nowhere":         {archive(t, entry{name: "l", kind: tar.TypeSymlink}), "points nowhere"},
		"too many bytes":          {archive(t, entry{name: "a", text: strings.Repeat("x", 600_000)}, entry{name: "b", text: strings.Repeat("x", 600_000)}), "larger than 1 MB"},
		"too many files":          {archive(t, slices.Repeat([]entry{ok}, 21)...), "more than 20 files"},
		"too many directories":    {archive(t, slices.Repeat([]entry{{name: "d/", kind: tar.TypeDir}}, 21)...), "more than 20 files"},
		"bomb":                    {zip(t, archive(t, entry{name: "a", text: strings.Repeat("\x00", 8_000_000)})), "larger than 1 MB"},
		"long path":               {archive(t, entry{name: strings.Repeat("a/b", 5000)}), "too long"},
		"deep path":               {archive(t, entry{name: strings.Repeat("a/", 300), kind: tar.TypeDir}), "too long"},
		"Git LFS":                 {archive(t, entry{name: "logo.png", text: pointer}, entry{name: "a/.gitattributes", text: "*.png filter=lfs diff=lfs\n"}), "\"logo.png\" is in Git LFS"},
		"Git LFS, other way":      {archive(t, entry{name: ".gitattributes", text: "*.png filter=lfs\n"}, entry{name: "a/b", text: pointer}), "\"a/b\" is in Git LFS"},
		"second bomb":             {zip(t, archive(t, slices.Repeat([]entry{{name: "a", text: strings.Repeat("\x00", 400_000)}}, 4)...)), "larger than 1 MB"},
		"header bomb":             {zip(t, archive(t, slices.Repeat([]entry{{kind: tar.TypeXGlobalHeader}}, 100)...)), "more than 20 files"},
		"not an archive":          {bytes.Repeat([]byte("hello\n"), 500), "not a tar archive"},
		"a short text":            {[]byte("hello\n"), "ends too early"},
		"nothing":                 {nil, "the archive is empty"},
		"zip":                     {[]byte("PK\x03\x04 and so on"), "packed by zip"},
		"xz":                      {[]byte("\xfd7zXZ\x00 and so on"), "packed by xz"},
		"zstd":                    {[]byte("\x28\xb5\x2f\xfd and so on"), "packed by zstd"},
		"bzip2":                   {[]byte("BZh91AY and so on"), "packed by bzip2"},
		"cut within a header":     {whole[:1200], "ends too early"},
		"cut within the padding":  {whole[:700], "ends too early"},
		"cut between files":       {whole[:1024], "ends too early"},
		"cut before the end mark": {whole[:len(whole)-1024], "ends too early"},
		"cut within a file":       {whole[:3000], "ends too early"},
		"cut within gzip":         {zipped[:len(zipped)/2], "ends too early"},
		"gzip head alone":         {[]byte("\x1f\x8b"), "ends too early"},
		"gzip with a flipped sum": {append(slices.Clone(zipped[:len(zipped)-8]), 0, 0, 0, 0, 0, 0, 0, 0), "damaged"},
		"gzip of a text":          {zip(t, bytes.Repeat([]byte("hello\n"), 500)), "not a tar archive"},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			dir := filepath.Join(top, "dir")
			os.MkdirAll(dir, 0o755)
			os.MkdirAll(filepath.Join(top, "outside"), 0o755)
			os.WriteFile(filepath.Join(top, "outside", "victim"), []byte("precious"), 0o600)

			u := git.NewUnpacker(git.Limits{Bytes: 1_000_000, Files: 20})
			err := u.Unpack(t.Context(), bytes.NewReader(c.archive), dir)
			var e *daemon.Error
			if !errors.As(err, &e) || e.Kind != daemon.Invalid || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %v, want an Invalid error with %q", err, c.words)
			}
			got := tree(t, top)
			maps.DeleteFunc(got, func(name, _ string) bool { return strings.HasPrefix(name, "dir/") })
			same(t, "around the directory", got, map[string]string{"dir": "drwxr-xr-x", "outside": "drwxr-xr-x", "outside/victim": "0600 precious"})
		})
	}
}

// pointer is what Git LFS leaves in place of a file.
const pointer = "version https://git-lfs.github.com/spec/v1\n" +
	"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"

// TestUnpackPointer: what only looks like Git LFS is taken.
func TestUnpackPointer(t *testing.T) {
	for name, entries := range map[string][]entry{
		"a pointer without attributes": {{name: "testdata/pointer", text: pointer}},
		"attributes without a pointer": {{name: ".gitattributes", text: "*.png filter=lfs\n"}, {name: "logo.png", text: "\x89PNG"}},
		"a text that tells of it":      {{name: ".gitattributes", text: "*.png filter=lfs\n"}, {name: "README", text: "see " + pointer}},
	} {
		dir := t.TempDir()
		if err := git.NewUnpacker(git.Limits{}).Unpack(t.Context(), bytes.NewReader(archive(t, entries...)), dir); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, e := range entries {
			if text, err := os.ReadFile(filepath.Join(dir, e.name)); err != nil || string(text) != e.text {
				t.Errorf("%s: %s holds %q, %v", name, e.name, text, err)
			}
		}
	}
}

func TestUnpackCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := io.MultiReader(bytes.NewReader(archive(t, entry{name: "a", text: "x"})[:600]), readerFunc(func(p []byte) (int, error) {
		cancel()
		return copy(p, "more"), nil
	}))
	if err := git.NewUnpacker(git.Limits{}).Unpack(ctx, r, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestUnpackReal takes what git and tar themselves write, and shows that the
// sender's pipe is read to its end.
func TestUnpackReal(t *testing.T) {
	src := t.TempDir()
	os.MkdirAll(filepath.Join(src, "app", "deep"), 0o755)
	os.WriteFile(filepath.Join(src, "app", "deep", strings.Repeat("long-name-", 20)), []byte("x"), 0o644)
	os.WriteFile(filepath.Join(src, "Procfile"), []byte("web: run\n"), 0o644)
	os.WriteFile(filepath.Join(src, "run"), []byte("#!/bin/sh\n"), 0o755)
	os.Symlink("run", filepath.Join(src, "link"))
	os.Link(filepath.Join(src, "run"), filepath.Join(src, "same"))
	want := tree(t, src)
	command(t, src, "git", "init", "-q")
	command(t, src, "git", "add", ".")
	command(t, src, "git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first")
	for _, sender := range [][]string{
		{"git", "archive", "HEAD"}, {"git", "archive", "--format=tar.gz", "HEAD"},
		{"tar", "--exclude=.git", "-cf", "-", "."}, {"tar", "--exclude=.git", "-czf", "-", "Procfile", "run", "link", "same", "app"},
	} {
		cmd := exec.Command(sender[0], sender[1:]...)
		cmd.Dir, cmd.Stderr = src, os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := git.NewUnpacker(git.Limits{}).Unpack(t.Context(), out, dir); err != nil {
			t.Errorf("%v: %v", sender, err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v", sender, err)
		}
		same(t, strings.Join(sender, " "), tree(t, dir), want)
	}
}

func command(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}
