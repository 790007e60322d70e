package command

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"towline/daemon"
)

// shown is a terminal that a test looks at.
type shown struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *shown) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *shown) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// has waits until the text is there.
func (s *shown) has(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(s.String(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %q in %q", text, s)
		}
	}
}

// slow adds a command to the table that does as it is told.
func (b *bench) slow(c Command, run func(context.Context, *Call) error) {
	c.Name, c.On = "slow", on(nothing())
	c.Run = func(ctx context.Context, call *Call) (Result, error) { return Result{}, run(ctx, call) }
	b.commands[c.Name] = &c
}

func TestSignsOfLife(t *testing.T) {
	b := newBench(t)
	b.quiet = 10 * time.Millisecond
	var screen shown
	b.slow(Command{}, func(context.Context, *Call) error { screen.has(t, "still at work, for "); return nil })
	if code := b.Run(t.Context(), Request{Args: []string{"slow"}, Stdout: io.Discard, Stderr: &screen}); code != 0 {
		t.Errorf("ended with %d", code)
	}
	said := screen.String()

	// What is quiet by its nature has none, and there are none afterwards.
	b.slow(Command{Stream: Bytes}, func(context.Context, *Call) error { time.Sleep(10 * b.quiet); return nil })
	b.Run(t.Context(), Request{Args: []string{"slow"}, Stdout: io.Discard, Stderr: &screen})
	if screen.String() != said {
		t.Errorf("it says %q", screen.String())
	}
}

func TestInputIsAskedFor(t *testing.T) {
	b := newBench(t)
	b.run(0, "apps:create", "shop")
	for line, what := range map[string]string{
		"config:import -a shop":  "Waiting for KEY=value lines on standard input; end it with Ctrl-D",
		"members:add alice":      "Waiting for a public key",
		"deploy:archive -a shop": "Waiting for a tar of the source",
	} {
		for _, terminal := range []bool{true, false} {
			b.quiet = time.Hour
			if !terminal {
				b.quiet = 10 * time.Millisecond
			}
			var screen shown
			in, typed := io.Pipe()
			done := make(chan int)
			go func() {
				done <- b.Run(t.Context(), Request{Args: strings.Fields(line), Stdin: in, Stdout: io.Discard, Stderr: &screen, Terminal: terminal})
			}()
			screen.has(t, what)
			time.Sleep(10 * time.Millisecond)
			_, after, _ := strings.Cut(screen.String(), what)
			wantNone(t, after, "still at work") // which it is not
			typed.Close()
			<-done
		}
	}
	// Nobody who pipes something in is asked for it.
	b.quiet = time.Hour
	wantNone(t, b.importConfig("shop", "A=b").errors, "Waiting")
}

func TestCtrlCSaysWhatBecomesOfIt(t *testing.T) {
	b := newBench(t)
	b.quiet = 10 * time.Millisecond
	var screen shown
	ctx, interrupt := context.WithCancel(t.Context())
	b.slow(Command{}, func(ctx context.Context, _ *Call) error {
		interrupt()
		screen.has(t, "What was begun goes on; Ctrl-C again leaves it alone, and towline releases tells what came of it")
		return ctx.Err()
	})
	if code := b.Run(ctx, Request{Args: []string{"slow"}, Stdout: io.Discard, Stderr: &screen}); code != 130 {
		t.Errorf("ended with %d", code)
	}
}

// TestEndedIsNoCtrlC: who may not go on has pressed nothing.
func TestEndedIsNoCtrlC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var screen shown
		v, _, _ := watch(io.Discard, &screen, time.Second)
		ctx, end := context.WithCancelCause(t.Context())
		defer v.onInterrupt(ctx, "shop")()
		end(&endedError{daemon.Errorf(daemon.Forbidden, "this was ended")})
		time.Sleep(time.Minute)
		v.end()
		wantNone(t, screen.String(), "Ctrl-C")
	})
}
