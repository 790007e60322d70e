package command

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// quietFor is how long a command may be silent before it gives a sign of life; each
// further one comes later, up to a minute after the one before.
const quietFor = 3 * time.Second

// vitals gives the signs of life of one command: that it is still at work, that it waits
// for input, or that it goes on although its user pressed Ctrl-C. Everything the command
// writes passes through it.
type vitals struct {
	mu     sync.Mutex
	errors io.Writer // where the signs go
	quiet  time.Duration
	timer  *time.Timer
	since  time.Time     // of the last output
	next   time.Duration // from since to the next sign
	over   bool
	paused bool
}

// watch returns writers in place of the two of the request, until end is called.
func watch(stdout, stderr io.Writer, quiet time.Duration) (v *vitals, out, errors io.Writer) {
	v = &vitals{errors: stderr, quiet: quiet}
	v.mu.Lock() // the timer may fire before it is in its field
	defer v.mu.Unlock()
	v.timer = time.AfterFunc(quiet, v.tick)
	v.output()
	return v, &watched{v, stdout}, &watched{v, stderr}
}

// watched is a stream of a command.
type watched struct {
	v *vitals
	w io.Writer
}

func (w *watched) Write(p []byte) (int, error) {
	w.v.mu.Lock()
	defer w.v.mu.Unlock()
	w.v.output()
	return w.w.Write(p)
}

// output begins a new silence.
func (v *vitals) output() {
	v.since, v.next = time.Now(), v.quiet
	if !v.over && !v.paused {
		v.timer.Reset(v.next)
	}
}

func (v *vitals) tick() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over || v.paused {
		return
	}
	silence := time.Since(v.since)
	if silence < v.next { // something was written while the timer fired
		v.timer.Reset(v.next - silence)
		return
	}
	fmt.Fprintf(v.errors, "       still at work, for %s\n", silence.Round(time.Second))
	v.next += min(2*v.next, time.Minute)
	v.timer.Reset(v.next - silence)
}

// pause ends the signs that it is at work, as long as the command does what is quiet by
// its nature.
func (v *vitals) pause(paused bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.paused = paused
	v.output()
}

func (v *vitals) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.over = true
	v.timer.Stop()
}

// say writes a line, unless the command is over.
func (v *vitals) say(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.over {
		fmt.Fprintf(v.errors, format+"\n", args...)
	}
}

// onInterrupt says once the user pressed Ctrl-C that the command goes on, if it does. What
// was begun is finished, whoever looks on.
func (v *vitals) onInterrupt(ctx context.Context, app string) (stop func() bool) {
	where := "towline releases"
	if app != "" {
		where += " -a " + app
	}
	return context.AfterFunc(ctx, func() {
		if ended(ctx) != nil {
			return // for another reason, which the command's error tells
		}
		time.AfterFunc(v.quiet/6, func() {
			v.say("-----> What was begun goes on; Ctrl-C again leaves it alone, and %s tells what came of it", where)
		})
	})
}

// input is the standard input of a command that needs one. It says what is awaited: at a
// terminal at once, else when nothing has come for a while.
func (call *Call) input(what string) io.Reader {
	return &awaited{call: call, what: what}
}

type awaited struct {
	call  *Call
	what  string
	begun bool
}

func (a *awaited) Read(p []byte) (int, error) {
	if a.begun {
		return a.call.Stdin.Read(p)
	}
	a.begun = true
	v := a.call.vitals
	v.pause(true)
	defer v.pause(false)
	prompt := func() { v.say("Waiting for %s on standard input; end it with Ctrl-D", a.what) }
	if a.call.Terminal {
		prompt()
	} else {
		defer time.AfterFunc(v.quiet, prompt).Stop()
	}
	return a.call.Stdin.Read(p)
}
