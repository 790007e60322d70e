package hostbackup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/cron"
)

// server is an offsite server that keeps what it is sent.
type server struct {
	has  [][]byte
	keep []int
	err  error
	wait chan struct{} // not nil: it takes nothing until that is closed
}

func (s *server) Place() string { return "s3:https://objects.example.org/towline" }

func (s *server) SendMachine(ctx context.Context, path string, keep int) error {
	if s.wait != nil {
		select {
		case <-s.wait:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	text, err := os.ReadFile(path)
	if err == nil && s.err == nil {
		s.has, s.keep = append(s.has, text), append(s.keep, keep)
	}
	return errors.Join(err, s.err)
}

// TestSend: what goes to the offsite server was restored before, and nothing of it stays here.
func TestSend(t *testing.T) {
	b := newBench(t, false)
	req := Request{Recipients: []string{b.to}}
	if _, err := b.Send(t.Context(), req, 7); err == nil || !strings.Contains(err.Error(), "no offsite server") {
		t.Errorf("without a server: %v", err)
	}
	s := &server{}
	b.Offsite = s
	left := func() bool { _, err := os.Stat(filepath.Join(b.State, outName)); return err == nil }
	check := func(what string, sent int, says string) {
		t.Helper()
		r, err := b.Record()
		if err != nil || len(s.has) != sent || left() || says == "" && (r.Error != "" || r.To != s.Place() || r.Verified.IsZero()) || !strings.Contains(r.Error, says) {
			t.Errorf("%s: %d are sent, something is left: %v, %+v, %v", what, len(s.has), left(), r, err)
		}
	}
	if _, err := b.Send(t.Context(), req, 7); err != nil {
		t.Fatal(err)
	}
	check("the first", 1, "")
	if _, err := b.Send(t.Context(), Request{Passphrase: "four random words here"}, 7); err != nil {
		t.Fatal(err)
	}
	check("with a passphrase", 2, "")
	s.err = errors.New("connection refused")
	if _, err := b.Send(t.Context(), req, 7); err == nil {
		t.Error("a server that is away took it")
	}
	check("while the server is away", 2, "connection refused")
	s.err = nil

	// Two at once would be one file.
	s.wait = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { _, err := b.Send(ctx, req, 7); ended <- err }()
	for since := time.Now(); !left() && time.Since(since) < time.Minute; {
		time.Sleep(time.Millisecond)
	}
	if _, err := b.Send(t.Context(), req, 7); !daemon.IsKind(err, daemon.Conflict) {
		t.Errorf("a second one at once: %v", err)
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("it went on after its end")
	}
	check("cut short", 2, "context canceled")
	s.wait = nil

	b.fails = "db"
	if _, err := b.Send(t.Context(), req, 7); err == nil {
		t.Error("what can't be restored was sent")
	}
	check("what can't be restored", 2, "could not be restored")
}

// TestPlanOffsite: the plan's backups go to the server, of which so many stay.
func TestPlanOffsite(t *testing.T) {
	b := newBench(t, false)
	s := &server{}
	b.Keys.Recipients, b.Offsite = []string{b.to}, s
	b.Plan = Plan{Cron: "30 4 * * *", To: ToOffsite, Keep: 3}
	if err := b.Plan.Check(); err != nil {
		t.Fatal(err)
	}
	times, err := cron.Parse(b.Plan.Cron, b.Plan.Zone, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for _, after := range []time.Duration{0, 24 * time.Hour} {
		if err := b.tick(t.Context(), times, begun.Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.has) != 1 || s.keep[0] != 3 {
		t.Errorf("%d are sent, of which %v stay", len(s.has), s.keep)
	}
	if p, err := b.Problems(begun.Add(25 * time.Hour)); err != nil || len(p) > 0 {
		t.Errorf("%v, %v", p, err)
	}
}
