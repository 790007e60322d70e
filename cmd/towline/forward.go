package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"towline/cmd/internal/session"
)

// maxForwards bounds the connections that are led to an add-on at a time. More wait.
const maxForwards = 32

// forwarder leads connections to one add-on: each is the standard input and output of a
// command of its own on the server, so that sshd need allow no forwarding and the daemon
// alone decides who may. All commands share one connection of ssh's.
type forwarder struct {
	argv  func(logLevel string, words ...string) []string
	words []string // the server's, without what is asked of this program
	close func()
}

// forwards tells whether the command line is one that is carried out here.
func (in invocation) forwards() bool {
	return in.verb() == "addons:forward" && !in.asksHelp() && !slices.Contains(in.words, "--stdio") && !slices.Contains(in.words, "--stdio=true")
}

func forward(in invocation) int {
	port, words, err := ownPort(in.words)
	if err != nil {
		return refuse(err, "towline addons:forward ADDON --port 16379")
	}
	f, err := in.forwarder(words)
	if err != nil {
		return refuse(err, "name it: towline --host HOST ..., or in a checkout: towline git:remote -a APP --host HOST")
	}
	defer f.close()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	return f.run(ctx, port)
}

// ownPort takes --port out of the words; -1 is none.
func ownPort(words []string) (port int, rest []string, err error) {
	port = -1
	for i := 0; i < len(words); i++ {
		name, value, given := strings.Cut(words[i], "=")
		if name != "--port" {
			rest = append(rest, words[i])
			continue
		}
		if !given {
			if i++; i == len(words) {
				return 0, nil, errors.New("--port needs a value")
			}
			value = words[i]
		}
		n, err := strconv.ParseUint(value, 10, 16)
		if err != nil {
			return 0, nil, fmt.Errorf("%q is no port", value)
		}
		port = int(n)
	}
	return port, rest, nil
}

func (in invocation) forwarder(words []string) (*forwarder, error) {
	if in.local() {
		self, err := os.Executable()
		return &forwarder{words: words, close: func() {}, argv: func(_ string, words ...string) []string {
			return append([]string{self, "--socket", in.socket}, words...)
		}}, err
	}
	t, err := in.target(gitRemotes)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "towline-")
	if err != nil {
		return nil, err
	}
	control := []string{"-o", "ControlPath=" + filepath.Join(dir, "ssh")}
	return &forwarder{
		words: words,
		argv: func(logLevel string, words ...string) []string {
			return sshArgs(t, words, append([]string{
				"-T", "-o", "LogLevel=" + logLevel, "-o", "ControlMaster=auto", "-o", "ControlPersist=60",
			}, control...)...)
		},
		close: func() {
			argv := sshArgs(t, nil, append([]string{"-O", "exit"}, control...)...)
			_ = exec.Command(argv[0], argv[1:]...).Run() // there may be none any more
			_ = os.RemoveAll(dir)
		},
	}, nil
}

// place is what the server says of the add-on's port.
type place struct {
	Addon    string `json:"addon"`
	PortName string `json:"port_name"`
	Port     int    `json:"port"`
	Address  string `json:"address"` // of this machine
}

func (f *forwarder) run(ctx context.Context, port int) int {
	p, code := f.ask(ctx)
	if code != 0 {
		return code
	}
	listener, err := listen(port, p.Port)
	if err != nil {
		return refuse(err, "choose another: --port 0 takes any that is free")
	}
	defer listener.Close()
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	p.Address = listener.Addr().String()
	if slices.Contains(f.words, "--json") {
		_ = json.NewEncoder(os.Stdout).Encode(p)
	} else {
		fmt.Printf("%s leads to port %d (%s) of %s, until you press Ctrl-C\n", p.Address, p.Port, p.PortName, p.Addon)
	}
	var open sync.WaitGroup
	defer open.Wait()
	room := make(chan struct{}, maxForwards)
	for {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return 0
		}
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return 0
		}
		if err != nil {
			session.Complain(err, "")
			return 1
		}
		open.Go(func() {
			defer func() { <-room }()
			f.lead(ctx, conn.(*net.TCPConn))
		})
	}
}

// ask has the server check the add-on, the port and the member's right to it. It prints
// what is wrong.
func (f *forwarder) ask(ctx context.Context) (p place, code int) {
	argv := f.argv("ERROR", append(slices.Clone(f.words), "--json")...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var said bytes.Buffer
	cmd.Stderr = &said
	text, err := cmd.Output()
	f.tell(said.String())
	var exited *exec.ExitError
	if errors.As(err, &exited) {
		return p, max(exited.ExitCode(), 1)
	}
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		session.Complain(fmt.Errorf("ask the server: %w", err), "")
		return p, 1
	}
	return p, 0
}

// tell prints what the server said on standard error: an error, which comes as JSON
// because that was asked for, in words, unless the user asked for JSON too.
func (f *forwarder) tell(said string) {
	lines := strings.SplitAfter(said, "\n")
	for i, line := range lines {
		var e struct {
			Error struct{ Message, Hint string }
		}
		rest := strings.Join(lines[i+1:], "")
		if rest == "" && !slices.Contains(f.words, "--json") && json.Unmarshal([]byte(line), &e) == nil && e.Error.Message != "" {
			session.Complain(errors.New(e.Error.Message), e.Error.Hint)
			return
		}
		fmt.Fprint(os.Stderr, line)
	}
}

// listen takes the port asked for, or else the service's own number if it is free, or
// else any.
func listen(want, service int) (net.Listener, error) {
	if want >= 0 {
		return net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(want)))
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(service)))
	if err != nil {
		return net.Listen("tcp", "127.0.0.1:0")
	}
	return l, nil
}

// lead gives the connection itself to the command as its input and output: nothing is
// copied here, and an end of either direction is passed on.
func (f *forwarder) lead(ctx context.Context, conn *net.TCPConn) {
	file, err := conn.File()
	conn.Close()
	if err != nil {
		session.Complain(err, "")
		return
	}
	// Sshd takes only so many sessions on one connection. For one beyond that ssh makes
	// another connection, and would call that an error.
	argv := f.argv("FATAL", append(slices.Clone(f.words), "--stdio")...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = file, file, os.Stderr
	err = cmd.Start()
	file.Close()
	if err != nil {
		session.Complain(err, "")
		return
	}
	_ = cmd.Wait() // the server has said what is wrong
}
