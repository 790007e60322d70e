package socket

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/socket/wire"
)

// patience bounds a wait for what must happen.
const patience = 10 * time.Second

func everyone(uint32) bool { return true }

// start serves h on a socket until the test ends, when every handler must have
// returned.
func start(t testing.TB, allow func(uint32) bool, h Handler) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, l, allow, h) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-served:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Error("Serve does not return")
		}
	})
	return path
}

func run(t *testing.T, path string, req Request, stdin io.Reader) (stdout, stderr string, exit int) {
	t.Helper()
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	exit, err := wire.Run(ctx, path, req, wire.Streams{Stdin: stdin, Stdout: &out, Stderr: &errs})
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), exit
}

// soon fails the test unless ch delivers.
func soon[T any](t *testing.T, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: nothing", what)
		panic("unreachable")
	}
}

func TestCall(t *testing.T) {
	path := start(t, everyone, func(_ context.Context, c *Call) int {
		in, err := io.ReadAll(c.Stdin)
		fmt.Fprintf(c.Stdout, "%s %s %s %q %d %v %d %v", c.Member, c.Key, c.App, c.Args, c.Uid, c.Terminal, len(in), err)
		fmt.Fprint(c.Stderr, "careful")
		return 42
	})
	req := Request{Member: "alice", Key: "SHA256:x", App: "shop", Args: []string{"a b", "", "é\n\x00<&>"}}
	for _, n := range []int{0, 1, wire.MaxPayload, window, window + 1, 5 << 20} {
		out, errs, exit := run(t, path, req, strings.NewReader(strings.Repeat("x", n)))
		want := fmt.Sprintf("alice SHA256:x shop %q %d false %d <nil>", req.Args, os.Getuid(), n)
		if out != want || errs != "careful" || exit != 42 {
			t.Errorf("got %q, %q, %d; want %q", out, errs, exit, want)
		}
	}
	if out, _, _ := run(t, path, req, nil); !strings.HasSuffix(out, "0 <nil>") {
		t.Errorf("without input: %q", out)
	}
}

func TestEcho(t *testing.T) {
	path := start(t, everyone, func(_ context.Context, c *Call) int {
		if _, err := io.Copy(c.Stdout, c.Stdin); err != nil {
			return 1
		}
		return 0
	})
	text := strings.Repeat("0123456789", 1<<20)
	if out, _, exit := run(t, path, Request{Args: []string{"cat"}}, strings.NewReader(text)); out != text || exit != 0 {
		t.Errorf("got %d bytes back, exit %d", len(out), exit)
	}
}

// untouched fails the test when it is read.
type untouched struct{ t *testing.T }

func (u untouched) Read([]byte) (int, error) { u.t.Error("input was read unasked"); return 0, io.EOF }

func TestInputIsNotReadUnasked(t *testing.T) {
	path := start(t, everyone, func(_ context.Context, c *Call) int { fmt.Fprint(c.Stdout, "done"); return 0 })
	if out, _, _ := run(t, path, Request{Args: []string{"ps"}}, untouched{t}); out != "done" {
		t.Error(out)
	}
}

// A call that panics ends alone: another that is under way goes on, and more are taken.
func TestPanic(t *testing.T) {
	waiting, go1 := make(chan bool), make(chan bool)
	path := start(t, everyone, func(_ context.Context, c *Call) int {
		switch c.Args[0] {
		case "panic":
			panic("secret")
		case "wait":
			waiting <- true
			<-go1
		}
		return 0
	})
	other := make(chan int, 1)
	go func() {
		exit, _ := wire.Run(context.Background(), path, Request{Args: []string{"wait"}}, wire.Streams{Stdout: io.Discard, Stderr: io.Discard})
		other <- exit
	}()
	soon(t, waiting, "the other call")
	if _, errs, exit := run(t, path, Request{Args: []string{"panic"}}, nil); exit != 1 || errs == "" || strings.Contains(errs, "secret") {
		t.Errorf("exit %d, %q", exit, errs)
	}
	close(go1)
	if exit := soon(t, other, "the other call's end"); exit != 0 {
		t.Errorf("the other call: exit %d", exit)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("broken") }

// TestHalfInput: input that failed must not look like input that ended.
func TestHalfInput(t *testing.T) {
	got := make(chan error, 1)
	path := start(t, everyone, func(_ context.Context, c *Call) int {
		_, err := io.ReadAll(c.Stdin)
		got <- err
		return 0
	})
	_, err := wire.Run(context.Background(), path, Request{Args: []string{"x"}},
		wire.Streams{Stdin: io.MultiReader(strings.NewReader("half"), broken{}), Stdout: io.Discard, Stderr: io.Discard})
	if !errors.Is(err, wire.ErrUnavailable) {
		t.Errorf("client: %v", err)
	}
	if err := soon(t, got, "handler"); err != ErrHangup {
		t.Errorf("handler: %v", err)
	}
}

func TestHangup(t *testing.T) {
	ready, cause := make(chan bool, 1), make(chan error, 1)
	for name, h := range map[string]Handler{
		"waiting": func(ctx context.Context, c *Call) int {
			ready <- true
			<-ctx.Done()
			cause <- context.Cause(ctx)
			return 0
		},
		"reading": func(ctx context.Context, c *Call) int {
			ready <- true
			_, err := c.Stdin.Read(make([]byte, 1))
			cause <- err
			return 0
		},
		"writing": func(ctx context.Context, c *Call) int {
			ready <- true
			for {
				if _, err := c.Stdout.Write(make([]byte, 1<<20)); err != nil {
					<-ctx.Done()
					cause <- context.Cause(ctx)
					return 0
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := start(t, everyone, h)
			ctx, cancel := context.WithCancel(context.Background())
			stdin, w := io.Pipe() // silent
			defer w.Close()
			blocked, ww := io.Pipe() // nobody reads the output
			defer blocked.Close()
			returned := make(chan error, 1)
			go func() {
				_, err := wire.Run(ctx, path, Request{Args: []string{"x"}}, wire.Streams{Stdin: stdin, Stdout: ww, Stderr: io.Discard})
				returned <- err
			}()
			soon(t, ready, "handler")
			cancel()
			if err := soon(t, cause, "end of the call"); err != ErrHangup {
				t.Errorf("cause %v", err)
			}
			blocked.Close()
			if err := soon(t, returned, "client"); err == nil {
				t.Error("the client has no error")
			}
		})
	}
}

func TestInterrupt(t *testing.T) {
	ready := make(chan bool, 1)
	path := start(t, everyone, func(ctx context.Context, c *Call) int {
		ready <- true
		_, err := c.Stdin.Read(make([]byte, 1))
		fmt.Fprint(c.Stdout, err, ", ", context.Cause(ctx))
		return 130
	})
	interrupt := make(chan struct{}, 1)
	stdin, w := io.Pipe()
	defer w.Close()
	go func() { <-ready; interrupt <- struct{}{} }()
	var out bytes.Buffer
	exit, err := wire.Run(context.Background(), path, Request{Args: []string{"x"}},
		wire.Streams{Stdin: stdin, Stdout: &out, Stderr: io.Discard, Interrupt: interrupt})
	if exit != 130 || err != nil || out.String() != "interrupted, interrupted" {
		t.Errorf("exit %d, %v, %q", exit, err, out.String())
	}
}

// TestEnd: the server may end a call though its client stays.
func TestEnd(t *testing.T) {
	why := errors.New("you may not any more")
	path := start(t, everyone, func(ctx context.Context, c *Call) int {
		go c.End(why)
		<-ctx.Done()
		_, err := io.ReadAll(c.Stdin)
		fmt.Fprintf(c.Stderr, "%v: %v", context.Cause(ctx), err)
		return 4
	})
	waits, stay := io.Pipe()
	defer stay.Close()
	if _, errs, exit := run(t, path, Request{Args: []string{"wait"}}, waits); exit != 4 || errs != "you may not any more: you may not any more" {
		t.Errorf("exit %d, %q", exit, errs)
	}
}

func TestResizeAndRaw(t *testing.T) {
	path := start(t, everyone, func(ctx context.Context, c *Call) int {
		c.Raw()
		for size := range c.Resize {
			if size.Rows == 7 {
				fmt.Fprint(c.Stdout, daemon.Size{Rows: c.Rows, Cols: c.Cols}, size)
				return 0
			}
		}
		return 1
	})
	resize, raw := make(chan wire.Size), false
	go func() {
		for i := range 8 {
			resize <- wire.Size{Rows: uint16(i), Cols: 300}
		}
	}()
	var out bytes.Buffer
	_, err := wire.Run(context.Background(), path, Request{Args: []string{"x"}, Terminal: true, Rows: 24, Cols: 80},
		wire.Streams{Stdout: &out, Stderr: io.Discard, Resize: resize, Raw: func() { raw = true }})
	if err != nil || out.String() != "{24 80} {7 300}" || !raw {
		t.Errorf("%v, %q, raw %v", err, out.String(), raw)
	}
}

func TestShutdown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, served := make(chan bool, 1), make(chan error, 1)
	go func() {
		served <- Serve(ctx, l, everyone, func(ctx context.Context, c *Call) int {
			ready <- true
			<-ctx.Done()
			fmt.Fprint(c.Stdout, "bye")
			return 9
		})
	}()
	idle, err := net.Dial("unix", path) // has not asked yet
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	go func() { <-ready; cancel() }()
	if out, _, exit := run(t, path, Request{Args: []string{"x"}}, nil); out != "bye" || exit != 9 {
		t.Errorf("%q, exit %d", out, exit)
	}
	if err := soon(t, served, "Serve"); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("unix", path); err == nil {
		t.Error("it listens still")
	}
}

func TestAllow(t *testing.T) {
	path := start(t, func(uid uint32) bool { return uid != uint32(os.Getuid()) }, func(context.Context, *Call) int {
		t.Error("the handler was called")
		return 0
	})
	// Longer than one read of the server's.
	req := Request{Args: []string{strings.Repeat("x", 200<<10)}}
	if _, errs, exit := run(t, path, req, nil); exit != 1 || !strings.Contains(errs, "may not use this socket") {
		t.Errorf("exit %d, %q", exit, errs)
	}
}

func TestClientErrors(t *testing.T) {
	streams := wire.Streams{Stdout: io.Discard, Stderr: io.Discard}
	if _, err := wire.Run(context.Background(), "/nonexistent/s", Request{}, streams); !errors.Is(err, wire.ErrUnavailable) {
		t.Error(err)
	}
	path := start(t, everyone, func(context.Context, *Call) int { return 0 })
	for _, arg := range []string{"\xff", strings.Repeat("x", wire.MaxRequest)} {
		if _, err := wire.Run(context.Background(), path, Request{Args: []string{arg}}, streams); err == nil || errors.Is(err, wire.ErrUnavailable) {
			t.Errorf("%.10q: %v", arg, err)
		}
	}
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for _, answer := range []string{"", "o\x00\x00\x00\x05ab", "Z\x00\x00\x00\x00", "o\xff\xff\xff\xff", "x\x00\x00\x00\x01a", "w\x00\x00\x00\x00"} {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Write([]byte(answer))
			c.Close()
		}
		l.Close()
	}()
	for i := range 6 {
		if _, err := wire.Run(context.Background(), l.Addr().String(), Request{}, streams); err == nil {
			t.Errorf("answer %d: no error", i)
		}
	}
}

// FuzzServer throws bytes at the server: it must not panic, the handler must end,
// and nothing may stay behind.
func FuzzServer(f *testing.F) {
	frame := func(t wire.Type, p string) string {
		return string(binary.BigEndian.AppendUint32([]byte{byte(t)}, uint32(len(p)))) + p
	}
	request := frame(wire.TypeRequest, `{"args":["x"]}`)
	for _, s := range []string{
		"", "GET / HTTP/1.1\r\n\r\n", "Q", "Q\xff\xff\xff\xff", frame(wire.TypeRequest, "{"), frame(wire.TypeStdin, "early"),
		request + frame(wire.TypeStdin, "hello") + frame(wire.TypeStdinEOF, ""),
		request + frame(wire.TypeStdin, strings.Repeat("x", wire.MaxPayload)),
		request + frame(wire.TypeResize, "\x00\x01\x00\x02") + frame(wire.TypeResize, "x") + request,
		request + frame(wire.TypeInterrupt, "") + frame(wire.TypeExit, "\x00\x00\x00\x00"),
	} {
		f.Add([]byte(s))
	}
	path := start(f, everyone, func(ctx context.Context, c *Call) int {
		io.Copy(c.Stdout, c.Stdin)
		return len(c.Args)
	})
	f.Fuzz(func(t *testing.T, data []byte) {
		before := runtime.NumGoroutine()
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		c.Write(data)
		c.(*net.UnixConn).CloseWrite()
		c.SetDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("no end after %q", data)
		}
		c.Close()
		for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
			}
		}
	})
}

// BenchmarkCall is a command that says little, from connection to exit code.
func BenchmarkCall(b *testing.B) {
	path := start(b, everyone, func(_ context.Context, c *Call) int { io.WriteString(c.Stdout, "ok\n"); return 0 })
	streams := wire.Streams{Stdout: io.Discard, Stderr: io.Discard}
	for b.Loop() {
		if _, err := wire.Run(context.Background(), path, Request{Args: []string{"x"}}, streams); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInput is the way of a pushed tar.
func BenchmarkInput(b *testing.B) {
	path := start(b, everyone, func(_ context.Context, c *Call) int { io.Copy(io.Discard, c.Stdin); return 0 })
	text := strings.Repeat("x", 16<<20)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		streams := wire.Streams{Stdin: strings.NewReader(text), Stdout: io.Discard, Stderr: io.Discard}
		if _, err := wire.Run(context.Background(), path, Request{Args: []string{"x"}}, streams); err != nil {
			b.Fatal(err)
		}
	}
}
