package logs

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// buildMark begins the names of the files that builds and test runs write: "+build.7.log",
// "+test.7.log". No container's name begins with it.
const buildMark = "+"

// testMark begins those of test runs.
const testMark = buildMark + "test."

// maxBuild is how much of a build's output its file holds before it makes way for a new one and is
// kept, once, under another name: what is kept of a build is its end, of twice that at most.
const maxBuild = 256 << 10

// maxPart bounds one record.
const maxPart = 16 << 10

// KeepOutput implements daemon.Logs.
func (l *Logs) KeepOutput(app, of string, number, keep int) (io.WriteCloser, error) {
	dir, err := l.folder(app)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := dropOutput(dir, of, number-keep); err != nil {
		return nil, err
	}
	w := &buildFile{path: filepath.Join(dir, fmt.Sprintf("%s%s.%d%s", buildMark, of, number, extension))}
	return w, w.open()
}

// dropOutput removes what builds, or test runs, up to that number have written.
func dropOutput(dir, of string, upTo int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), buildMark+of+".")
		digits, _, _ := strings.Cut(name, ".")
		if n, err := strconv.Atoi(digits); !ok || err != nil || n > upTo {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// buildFile is where one build writes.
type buildFile struct {
	path string

	mu   sync.Mutex
	f    *os.File
	size int
	line []byte // whose end has not come
}

func (b *buildFile) open() (err error) {
	b.f, err = os.OpenFile(b.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	b.size = 0
	return err
}

// Write keeps whole lines.
func (b *buildFile) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.line = append(b.line, p...)
	end := bytes.LastIndexByte(b.line, '\n') + 1
	if end == 0 && len(b.line) > maxPart {
		end = len(b.line)
	}
	if err := b.put(b.line[:end]); err != nil {
		return 0, err
	}
	b.line = append(b.line[:0], b.line[end:]...)
	return len(p), nil
}

// put writes lines, each as a record, or several of which each but the last is a part.
func (b *buildFile) put(text []byte) error {
	if len(text) == 0 || b.f == nil {
		return nil
	}
	now := time.Now().UTC().Format(timeFormat)
	var out bytes.Buffer
	for line := range bytes.Lines(text) {
		for line = bytes.TrimRight(line, "\r\n"); len(line) > maxPart; line = line[maxPart:] {
			fmt.Fprintf(&out, "%s stdout P %s\n", now, line[:maxPart])
		}
		fmt.Fprintf(&out, "%s stdout F %s\n", now, line)
		if out.Len() > maxPart { // many short lines are much more as records than as text
			if err := b.write(&out); err != nil {
				return err
			}
		}
	}
	return b.write(&out)
}

// write writes records, which out no longer has then.
func (b *buildFile) write(out *bytes.Buffer) error {
	if b.size > 0 && b.size+out.Len() > maxBuild {
		if err := b.begin(); err != nil {
			return err
		}
	}
	n, err := b.f.Write(out.Bytes()) // at once: readers see whole lines
	b.size += n
	out.Reset()
	return err
}

// begin begins the file anew.
func (b *buildFile) begin() error {
	if err := b.f.Close(); err != nil {
		return err
	}
	b.f = nil
	if err := os.Rename(b.path, b.path+".1"); err != nil {
		return err
	}
	return b.open()
}

// Close keeps a last line that has no end.
func (b *buildFile) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.f == nil {
		return nil
	}
	err := b.put(b.line)
	b.line = nil
	if cerr := b.f.Close(); err == nil {
		err = cerr
	}
	b.f = nil
	return err
}
