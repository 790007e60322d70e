// Package journal logs to systemd's journal with fields that can be asked for:
// journalctl -u towlined APP=shop.
package journal

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/journal"
)

// Handler writes to the journal where stderr leads there, as in a service of systemd's, and
// lines of text to stderr otherwise.
func Handler(stderr *os.File) slog.Handler {
	if leadsToJournal(stderr, os.Getenv("JOURNAL_STREAM")) && journal.Enabled() {
		return &handler{send: journal.Send}
	}
	return slog.NewTextHandler(stderr, nil)
}

// leadsToJournal compares the file with what systemd says the journal's stream is.
func leadsToJournal(f *os.File, stream string) bool {
	var device, inode uint64
	if n, err := fmt.Sscanf(stream, "%d:%d", &device, &inode); n != 2 || err != nil {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Dev == device && stat.Ino == inode
}

// handler makes a field of each attribute, and a message that reads like a line of text.
type handler struct {
	send   func(message string, priority journal.Priority, fields map[string]string) error
	fields map[string]string // of attributes that every record gets
	group  string
}

// textOn leaves out what the journal keeps itself.
func textOn(w io.Writer) slog.Handler {
	return slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
			return slog.Attr{}
		}
		return a
	}})
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	fields := make(map[string]string, len(h.fields)+r.NumAttrs())
	maps.Copy(fields, h.fields)
	var attrs strings.Builder
	line := slog.NewRecord(r.Time, r.Level, "", 0)
	for _, k := range slices.Sorted(maps.Keys(h.fields)) {
		line.AddAttrs(slog.String(strings.ToLower(k), h.fields[k]))
	}
	r.Attrs(func(a slog.Attr) bool {
		addField(fields, h.group, a)
		line.AddAttrs(a)
		return true
	})
	if err := textOn(&attrs).Handle(ctx, line); err != nil {
		return err
	}
	message := strings.TrimSpace(r.Message + " " + strings.TrimSpace(attrs.String()))
	return h.send(message, priority(r.Level), fields)
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.fields = make(map[string]string, len(h.fields)+len(attrs))
	maps.Copy(next.fields, h.fields)
	for _, a := range attrs {
		addField(next.fields, h.group, a)
	}
	return &next
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	next := *h
	next.group = h.group + name + "_"
	return &next
}

// addField names a field as the journal wants it: capitals, digits and underscores, not
// beginning with one of the latter two, which are the journal's own.
func addField(fields map[string]string, group string, a slog.Attr) {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		for _, inner := range value.Group() {
			addField(fields, group+a.Key+"_", inner)
		}
		return
	}
	name := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		}
		return '_'
	}, group+a.Key)
	name = strings.TrimLeft(name, "_0123456789")
	if name == "" || name == "MESSAGE" || name == "PRIORITY" || len(name) > 64 {
		return
	}
	fields[name] = value.String()
}

func priority(level slog.Level) journal.Priority {
	switch {
	case level >= slog.LevelError:
		return journal.PriErr
	case level >= slog.LevelWarn:
		return journal.PriWarning
	case level >= slog.LevelInfo:
		return journal.PriInfo
	}
	return journal.PriDebug
}
