package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"syscall"
	"testing"

	"github.com/coreos/go-systemd/v22/journal"
)

func TestFields(t *testing.T) {
	var message string
	var priority journal.Priority
	var fields map[string]string
	log := slog.New(&handler{send: func(m string, p journal.Priority, f map[string]string) error {
		message, priority, fields = m, p, f
		return nil
	}})
	for _, test := range []struct {
		log      func()
		message  string
		priority journal.Priority
		fields   map[string]string
	}{
		{func() { log.Info("ready") }, "ready", journal.PriInfo, map[string]string{}},
		{func() { log.Warn("retire", "app", "shop", "err", errors.New("no room")) }, `retire app=shop err="no room"`, journal.PriWarning,
			map[string]string{"APP": "shop", "ERR": "no room"}},
		{func() { log.With("addon", "redis-shop").Error("probe", "after", 3) }, "probe addon=redis-shop after=3", journal.PriErr,
			map[string]string{"ADDON": "redis-shop", "AFTER": "3"}},
		{func() { log.Info("odd", "limits.disk", "10g", "_pid", 1, "message", "no") }, "odd limits.disk=10g _pid=1 message=no", journal.PriInfo,
			map[string]string{"LIMITS_DISK": "10g", "PID": "1"}},
		{func() { log.WithGroup("a").Info("g", slog.Group("b", "c", 1)) }, "g b.c=1", journal.PriInfo, map[string]string{"A_B_C": "1"}},
	} {
		if test.log(); message != test.message || priority != test.priority || !maps.Equal(fields, test.fields) {
			t.Errorf("%q at %d with %v, want %q at %d with %v", message, priority, fields, test.message, test.priority, test.fields)
		}
	}
}

func TestLeadsToJournal(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	s := info.Sys().(*syscall.Stat_t)
	for stream, want := range map[string]bool{fmt.Sprintf("%d:%d", s.Dev, s.Ino): true, fmt.Sprintf("%d:%d", s.Dev, s.Ino+1): false, "": false, "x": false} {
		if leadsToJournal(f, stream) != want {
			t.Errorf("%q: %v", stream, !want)
		}
	}
}
