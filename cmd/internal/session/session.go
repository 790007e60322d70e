// Package session connects this process's streams, terminal and signals to the
// daemon for the length of one command.
package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"towline/daemon/socket/wire"
)

// Exit codes of a command that the daemon gave none.
const (
	ExitUnavailable = 7
	ExitInterrupted = 130
	exitHangup      = 129
)

// hangupWatch is how long a command runs before its output is watched for a
// reader that left. Nearly every command ends sooner and is spared the thread.
const hangupWatch = 300 * time.Millisecond

// Run has the daemon at path carry out req and returns the exit code; what went
// wrong was printed. The terminal, if there is one, is as before.
func Run(path string, req wire.Request) int {
	ctx, hangup := context.WithCancel(context.Background())
	defer hangup()
	interrupt := make(chan struct{}, 1)
	resize := make(chan wire.Size, 1)
	JSON = WantsJSON(req.Args)
	req.Terminal = term.IsTerminal(0) && term.IsTerminal(1)
	if req.Terminal {
		req.Term = os.Getenv("TERM")
		size := windowSize()
		req.Rows, req.Cols = size.Rows, size.Cols
	}
	if width := Width(); width > 0 && req.Width == 0 {
		req.Width, req.Colour = width, Colour()
	}
	code := new(atomic.Int32)
	code.Store(exitHangup)
	watchSignals(req.Terminal, interrupt, resize, func(c int) { code.Store(int32(c)); hangup() })
	watch := time.AfterFunc(hangupWatch, func() { WaitReaderGone(1); hangup() })
	defer watch.Stop()

	restore := func() {}
	exit, err := wire.Run(ctx, path, req, wire.Streams{
		Stdin: wholeInput{os.Stdin, os.Stdout}, Stdout: os.Stdout, Stderr: os.Stderr,
		Resize: resize, Interrupt: interrupt,
		Raw: func() {
			if old, err := term.MakeRaw(0); err == nil && req.Terminal {
				restore = func() { _ = term.Restore(0, old) }
			}
		},
	})
	restore()
	if err == nil {
		return exit
	}
	if ctx.Err() != nil {
		return int(code.Load())
	}
	return Report(err)
}

// JSON has errors printed as the daemon prints them with --json.
var JSON bool

// WantsJSON tells whether the words of a command ask for it.
func WantsJSON(words []string) bool {
	if i := slices.Index(words, "--"); i >= 0 {
		words = words[:i]
	}
	return slices.Contains(words, "--json") && words[0] != "run"
}

// Report prints why the daemon could not be asked and returns the exit code.
func Report(err error) int {
	if errors.Is(err, wire.ErrUnavailable) {
		complain("unavailable", err, "apps serve on meanwhile; on the host, `systemctl status towlined` tells more")
		return ExitUnavailable
	}
	complain("failed", err, "")
	return 1
}

// Complain prints an error, and what to type next if there is something, in the
// voice of the daemon's own errors.
func Complain(err error, hint string) { complain("invalid", err, hint) }

func complain(kind string, err error, hint string) {
	if JSON {
		type failure struct {
			Kind    string `json:"kind"`
			Message string `json:"message"`
			Hint    string `json:"hint,omitempty"`
		}
		enc := json.NewEncoder(os.Stderr)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(map[string]failure{"error": {kind, err.Error(), hint}})
		return
	}
	text := err.Error()
	if hint != "" {
		text += "\n" + hint
	}
	fmt.Fprintf(os.Stderr, " !     %s\n", strings.ReplaceAll(text, "\n", "\n !     "))
}

// watchSignals passes the first Ctrl-C on to the daemon; a second one, or any
// other signal to end, hangs up.
func watchSignals(terminal bool, interrupt chan<- struct{}, resize chan<- wire.Size, hangup func(code int)) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	if terminal {
		signal.Notify(signals, syscall.SIGWINCH)
	}
	go func() {
		interrupted := false
		for s := range signals {
			switch {
			case s == syscall.SIGWINCH:
				resize <- windowSize()
			case s == syscall.SIGINT && !interrupted:
				interrupted = true
				interrupt <- struct{}{}
			case s == syscall.SIGINT:
				hangup(ExitInterrupted)
			default:
				hangup(128 + int(s.(syscall.Signal)))
			}
		}
	}()
}

// Width is how many columns the terminal has that the output goes to; 0 if it goes
// elsewhere.
func Width() uint16 {
	cols, _, err := term.GetSize(1)
	if err != nil {
		return 0
	}
	return uint16(cols)
}

// Colour tells whether the user of the terminal wants colours: see no-color.org.
func Colour() bool {
	kind := os.Getenv("TERM")
	return os.Getenv("NO_COLOR") == "" && kind != "" && kind != "dumb" && term.IsTerminal(1) && term.IsTerminal(2)
}

func windowSize() wire.Size {
	cols, rows, err := term.GetSize(0)
	if err != nil {
		return wire.Size{}
	}
	return wire.Size{Rows: uint16(rows), Cols: uint16(cols)}
}

// WaitReaderGone returns once nobody can read what is written to fd. sshd sends
// no signal when its client vanishes, and a command that follows a quiet log
// would stay for ever.
func WaitReaderGone(fd int32) {
	for {
		fds := []unix.PollFd{{Fd: fd}}
		_, err := unix.Poll(fds, -1)
		if err != nil && err != unix.EINTR || fds[0].Revents != 0 {
			return
		}
	}
}
