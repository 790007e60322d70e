package proxy

import (
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// Log lines are gathered for flushEvery, or until logBuffer bytes, and then
// written in one go: a write for each request would cost as much as the rest of
// the request. No request waits for the disk: while that is slow, up to logQueue
// bytes are kept, and lines that come after are dropped.
const (
	flushEvery = 100 * time.Millisecond
	logBuffer  = 32 << 10
	logQueue   = 1 << 20
)

// accessLog is one service's file. Each line begins as Podman's k8s-file format
// does, so that one reader merges it with the output of containers.
type accessLog struct {
	path  string
	limit int64
	log   *slog.Logger

	mu     sync.Mutex // held for moments only: every request needs it
	buf    []byte
	timer  *time.Timer // flushes what buf holds; armed by its first line, so that a quiet log costs nothing
	spare  []byte      // the buffer that was written last
	asked  bool        // for a flush before its time
	closed bool        // what comes now is too late
	lost   int         // lines dropped since the last flush
	second int64       // that stamp was made for
	stamp  [20]byte

	disk   sync.Mutex // held while writing; guards what follows
	file   *os.File
	size   int64
	failed bool
}

func newAccessLog(dir, service string, limit int64, log *slog.Logger) *accessLog {
	return &accessLog{path: filepath.Join(dir, service+".log"), limit: limit, log: log}
}

// record counts the exchange and writes its line.
func (x *exchange) record() {
	took := time.Since(x.start)
	x.p.stir()
	s := x.service
	if s == nil {
		x.p.unrouted.Add(1)
		return
	}
	s.stats.count(x.status, took, x.bytes)
	s.stats.traffic.count(x, took)
	x.p.watching.tell()
	if s.log != nil {
		s.log.add(x, took)
	}
}

func (l *accessLog) add(x *exchange, took time.Duration) {
	end := x.start.Add(took)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if len(l.buf) >= logQueue {
		l.lost++
		return
	}
	if len(l.buf) == 0 {
		l.arm()
	}
	b := l.appendTime(l.buf, end)
	if x.fault == "" {
		b = append(b, " stdout F at=info method="...)
	} else {
		b = append(b, " stdout F at=error error="...)
		b = append(b, x.fault...)
		b = append(b, " method="...)
	}
	b = append(b, x.req.Method...)
	b = append(b, " path="...)
	b = appendQuoted(b, pathOf(x.req.Target))
	b = append(b, " host="...)
	b = append(b, x.req.Host...)
	b = append(b, " request_id="...)
	b = append(b, x.idText...)
	b = append(b, ` fwd="`...)
	b = x.clientAddr().AppendTo(b)
	b = append(b, `" target=`...)
	if x.target != nil {
		b = append(b, x.target.spec.ID...)
	}
	b = append(b, " connect="...)
	b = strconv.AppendInt(b, x.connect.Milliseconds(), 10)
	b = append(b, "ms service="...)
	b = strconv.AppendInt(b, took.Milliseconds(), 10)
	b = append(b, "ms status="...)
	b = strconv.AppendInt(b, int64(x.status), 10)
	b = append(b, " bytes="...)
	b = strconv.AppendInt(b, x.bytes, 10)
	b = append(b, " protocol="...)
	b = append(b, x.protocol...)
	l.buf = append(b, '\n')
	if len(l.buf) >= logBuffer && !l.asked {
		l.asked = true
		go l.flush()
	}
}

// arm has what comes written after flushEvery.
func (l *accessLog) arm() {
	if l.timer == nil {
		l.timer = time.AfterFunc(flushEvery, l.flush)
		return
	}
	l.timer.Reset(flushEvery)
}

// appendTime writes RFC 3339 in UTC with nanoseconds. The part down to the
// second is kept, for it is the same for thousands of lines.
func (l *accessLog) appendTime(b []byte, t time.Time) []byte {
	unix, nano := t.Unix(), t.Nanosecond()
	if unix != l.second {
		l.second = unix
		t.UTC().AppendFormat(l.stamp[:0], "2006-01-02T15:04:05.")
	}
	b = append(b, l.stamp[:]...)
	for scale := 100_000_000; scale > 0; scale /= 10 {
		b = append(b, byte('0'+nano/scale%10))
	}
	return append(b, 'Z')
}

// pathOf drops the query, which may hold secrets.
func pathOf(target string) string {
	for i := 0; i < len(target); i++ {
		if target[i] == '?' {
			return target[:i]
		}
	}
	return target
}

func appendQuoted(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return strconv.AppendQuoteToASCII(b, s)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// flush writes what was gathered. What cannot be written is dropped: a full disk
// must not stop requests. It says so once.
func (l *accessLog) flush() {
	l.disk.Lock()
	defer l.disk.Unlock()
	l.mu.Lock()
	batch, lost := l.buf, l.lost
	l.buf, l.spare, l.lost, l.asked = l.spare[:0], nil, 0, false
	l.mu.Unlock()
	if lost > 0 {
		l.log.Warn("access log: the disk is too slow", "file", l.path, "lines dropped", lost)
	}
	if len(batch) > 0 {
		err := l.write(batch)
		if err != nil && !l.failed {
			l.log.Error("access log is not being written", "file", l.path, "error", err)
		}
		l.failed = err != nil
	}
	if cap(batch) <= 2*logBuffer {
		l.mu.Lock()
		l.spare = batch
		l.mu.Unlock()
	}
}

func (l *accessLog) write(batch []byte) error {
	if l.file != nil && l.size+int64(len(batch)) > l.limit {
		l.file.Close()
		l.file = nil
		if err := os.Rename(l.path, l.path+".1"); err != nil {
			return err
		}
	}
	if l.file == nil {
		f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			f.Close()
			return err
		}
		l.file, l.size = f, info.Size()
	}
	n, err := l.file.Write(batch)
	l.size += int64(n)
	return err
}

// release writes what was gathered and closes the file, which is made anew for the next
// line: that of a service that was removed may be deleted.
func (l *accessLog) release() {
	l.flush()
	l.disk.Lock()
	defer l.disk.Unlock()
	l.closeFile()
}

func (l *accessLog) closeFile() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}

// close writes what was gathered. Nothing is written after it.
func (l *accessLog) close() {
	l.mu.Lock()
	l.closed = true
	if l.timer != nil {
		l.timer.Stop()
	}
	l.mu.Unlock()
	l.flush()
	l.disk.Lock()
	defer l.disk.Unlock()
	l.closeFile()
}
