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
// the request.
const (
	flushEvery = 100 * time.Millisecond
	logBuffer  = 32 << 10
)

// accessLog is one service's file. Each line begins as Podman's k8s-file format
// does, so that one reader merges it with the output of containers.
type accessLog struct {
	path  string
	limit int64
	log   *slog.Logger

	mu     sync.Mutex
	file   *os.File
	size   int64
	buf    []byte
	second int64 // that stamp was made for
	stamp  [20]byte
	failed bool
}

func newAccessLog(dir, service string, limit int64, log *slog.Logger) *accessLog {
	return &accessLog{path: filepath.Join(dir, service+".log"), limit: limit, log: log}
}

// record counts the exchange and writes its line.
func (x *exchange) record() {
	took := time.Since(x.start)
	s := x.service
	if s == nil {
		x.p.unrouted.Add(1)
		return
	}
	s.stats.count(x.status, took, x.bytes)
	if s.log != nil {
		s.log.add(x, took)
	}
}

func (l *accessLog) add(x *exchange, took time.Duration) {
	end := x.start.Add(took)
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.appendTime(l.buf, end)
	if x.fault == "" {
		b = append(b, " stdout F at=info method="...)
	} else {
		b = append(b, " stdout F at=error error="...)
		b = append(b, x.fault...)
		b = append(b, " method="...)
	}
	b = append(b, x.req.method...)
	b = append(b, " path="...)
	b = appendQuoted(b, pathOf(x.req.target))
	b = append(b, " host="...)
	b = append(b, x.req.host...)
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
	if len(l.buf) >= logBuffer {
		l.flushLocked()
	}
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

func (l *accessLog) flush() {
	l.mu.Lock()
	l.flushLocked()
	l.mu.Unlock()
}

// flushLocked drops the lines when they cannot be written: a full disk must not
// stop requests. It says so once.
func (l *accessLog) flushLocked() {
	if len(l.buf) == 0 {
		return
	}
	err := l.write()
	l.buf = l.buf[:0]
	if err != nil && !l.failed {
		l.log.Error("access log is not being written", "file", l.path, "error", err)
	}
	l.failed = err != nil
}

func (l *accessLog) write() error {
	if l.file != nil && l.size+int64(len(l.buf)) > l.limit {
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
	n, err := l.file.Write(l.buf)
	l.size += int64(n)
	return err
}

func (l *accessLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flushLocked()
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}
