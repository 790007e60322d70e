package logs

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"towline/daemon"
)

// file is one log file while it is read.
type file struct {
	joiner
	path   string
	id     fileID
	offset int64    // up to which it was read
	open   *os.File // once it has grown while followed
}

// fileID tells a file from another that has taken its name.
type fileID struct{ dev, inode uint64 }

func identify(info fs.FileInfo) fileID {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return fileID{uint64(s.Dev), s.Ino}
	}
	return fileID{}
}

// found is a file that a query is about.
type found struct {
	file
	size     int64
	modified time.Time
}

// find lists the files that hold lines for q, in no order.
func (l *Logs) find(q daemon.LogQuery) ([]found, error) {
	dir, err := l.folder(q.App)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	var all []found
	look := func(path, source, process string) {
		if source != "" && !wanted(q, source, process) {
			return
		}
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			return // it was pruned just now, or was never one of ours
		}
		f := file{path: path, id: identify(info), joiner: joiner{source: source, process: process}}
		all = append(all, found{file: f, size: info.Size(), modified: info.ModTime()})
	}
	for _, e := range entries {
		name, isLog := strings.CutSuffix(strings.TrimSuffix(e.Name(), ".1"), extension)
		switch path := filepath.Join(dir, e.Name()); {
		case !isLog:
		case name+extension == ownFile:
			if q.Source != "app" && q.Source != "router" {
				look(path, "", "")
			}
		case strings.HasPrefix(name, testMark):
			if q.Source == "test" {
				look(path, "test", strings.TrimPrefix(name, buildMark))
			}
		case strings.HasPrefix(name, buildMark):
			look(path, "build", strings.TrimPrefix(name, buildMark))
		case q.App[0] == addonMark:
			look(path, "addon", q.App[1:])
		default:
			look(path, "app", processOf(name))
		}
	}
	if l.RouterDir != "" {
		for _, ext := range []string{extension, rotated} {
			look(filepath.Join(l.RouterDir, q.App+ext), "router", "router")
		}
	}
	return all, nil
}

// processOf finds TYPE.INDEX in a container's name, INSTALLATION-APP.TYPE.INDEX
// with more after another dot. A name of no more than two words is a process.
func processOf(container string) string {
	words := strings.Split(container, ".")
	if len(words) < 3 {
		return container
	}
	return words[1] + "." + words[2]
}

// wanted tells whether a query is about lines of this source and process.
func wanted(q daemon.LogQuery, source, process string) bool {
	if q.Source != "" && q.Source != source {
		return false
	}
	return q.Process == "" || q.Process == process || strings.HasPrefix(process, q.Process+".")
}

const firstBlock = 64 << 10

// tail reads the last n lines that q is about, and leaves f after the last whole
// line. It reads from the end, as little as it takes; of a line whose first parts
// are further up than that, the beginning is missing.
func (f *found) tail(q daemon.LogQuery, n int) ([]daemon.LogLine, error) {
	r, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for block := int64(firstBlock); ; block *= 4 {
		start := max(0, f.size-block)
		data := make([]byte, f.size-start)
		got, err := r.ReadAt(data, start)
		if err != nil && err != io.EOF { // EOF: it was cut meanwhile
			return nil, err
		}
		data = data[:got]
		f.joiner = joiner{source: f.source, process: f.process}
		skip := 0
		if start > 0 {
			skip = bytes.IndexByte(data, '\n') + 1
		}
		var lines []daemon.LogLine
		used := f.each(data[skip:], func(l daemon.LogLine) {
			if wanted(q, l.Source, l.Process) {
				lines = append(lines, l)
			}
		})
		if len(lines) >= n || start == 0 {
			f.offset = start + int64(skip+used)
			return lines[max(0, len(lines)-n):], nil
		}
	}
}

// each passes on the lines that data ends, and returns how many bytes of it are
// whole records.
func (f *file) each(data []byte, line func(daemon.LogLine)) (used int) {
	for {
		n := bytes.IndexByte(data[used:], '\n')
		if n < 0 && len(data)-used < maxLine {
			return used
		}
		raw := data[used:]
		if n >= 0 {
			raw = raw[:n]
		}
		used = min(used+len(raw)+1, len(data))
		if l, ok := f.add(raw); ok {
			line(l)
		}
	}
}

// maxRead is how much of one file is read before the others have their turn.
const maxRead = 4 * maxLine

// next reads on from where f was left. more tells that there may be more.
func (f *file) next(line func(daemon.LogLine)) (more bool, err error) {
	if f.open == nil {
		if f.open, err = os.Open(f.path); err != nil {
			return false, err
		}
	}
	return f.readFrom(f.open, line)
}

// hold opens f, unless its name has gone to another file by now.
func (f *file) hold() {
	r, err := os.Open(f.path)
	if err != nil {
		return
	}
	if info, err := r.Stat(); err != nil || identify(info) != f.id {
		r.Close()
		return
	}
	f.open = r
}

func (f *file) readFrom(r io.ReaderAt, line func(daemon.LogLine)) (more bool, err error) {
	buf := make([]byte, firstBlock)
	for read := 0; read < maxRead; {
		n, err := r.ReadAt(buf, f.offset)
		if err != nil && err != io.EOF {
			return false, err
		}
		used := f.each(buf[:n], line)
		f.offset += int64(used)
		read += used
		switch {
		case n < len(buf):
			return false, nil
		case used == 0 && len(buf) < 2*maxLine: // one record fills it
			buf = make([]byte, 2*len(buf))
		}
	}
	return true, nil
}

func (f *file) close() {
	if f.open != nil {
		f.open.Close()
		f.open = nil
	}
}
