package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"

	"towline/proxy"
	"towline/proxy/control"
)

// Names of the inherited listeners, as FileDescriptorName= of the socket units.
const (
	nameHTTP    = "http"
	nameHTTPS   = "https"
	nameControl = "control"
	nameMetrics = "metrics"
)

// readyFD names the pipe on which a handed-over process says that it serves.
const readyFD = "TOWLINE_PROXY_READY_FD"

// takeListeners uses the sockets that systemd, or the process before, holds
// open (LISTEN_FDS). Without names, they are taken by port.
func takeListeners(o *proxy.Options) error {
	// A handed-over process cannot know its PID beforehand: sd_listen_fds wants it.
	if os.Getenv("LISTEN_PID") == "self" {
		pid := strconv.Itoa(os.Getpid())
		if err := os.Setenv("LISTEN_PID", pid); err != nil {
			return err
		}
		// The watchdog was the process's before.
		if os.Getenv("WATCHDOG_PID") != "" {
			if err := os.Setenv("WATCHDOG_PID", pid); err != nil {
				return err
			}
		}
	}
	files := activation.Files(true)
	defer func() { leaveOut(o, len(files) > 0) }()
	for _, f := range files {
		l, err := inherited(f)
		if err != nil {
			return fmt.Errorf("inherited listener %s: %w", f.Name(), err)
		}
		if err := takeListener(o, f.Name(), l); err != nil {
			return err
		}
	}
	return nil
}

// leaveOut does without the port that systemd could not open, because another program has
// it, say: systemd has told of it, the proxy may not open it, and the other one is served.
func leaveOut(o *proxy.Options, given bool) {
	if !given || o.HTTPListener == nil && o.HTTPSListener == nil {
		return
	}
	if o.HTTPListener == nil {
		o.HTTP = ""
	}
	if o.HTTPSListener == nil {
		o.HTTPS = ""
	}
}

// inherited makes a listener of a file, which it closes.
func inherited(f *os.File) (net.Listener, error) {
	defer f.Close()
	own, err := share(f, f.Name())
	if err != nil {
		return nil, err
	}
	defer own.Close()
	return net.FileListener(own)
}

// share duplicates a socket into a file whose number can be asked for safely.
// os.File.Fd makes a non-blocking descriptor blocking, os/exec and
// net.FileListener call it, and the mode belongs to the socket: during a
// hand-over the other process's accept(2) would hang, and its Close with it.
// A file that was blocking when os first saw it is left as it is, so one is
// opened and the socket put in its place.
func share(socket syscall.Conn, name string) (*os.File, error) {
	fd, err := syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	raw, err := socket.SyscallConn()
	if err == nil {
		var dup error
		err = raw.Control(func(s uintptr) { dup = syscall.Dup3(int(s), fd, syscall.O_CLOEXEC) })
		err = errors.Join(err, dup)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func takeListener(o *proxy.Options, name string, l net.Listener) error {
	switch a := l.Addr().(type) {
	case *net.UnixAddr:
		name = nameControl
	case *net.TCPAddr:
		if name != nameHTTP && name != nameHTTPS && name != nameMetrics {
			name = map[bool]string{true: nameHTTPS, false: nameHTTP}[strings.HasSuffix(o.HTTPS, ":"+strconv.Itoa(a.Port))]
		}
	}
	place := map[string]*net.Listener{
		nameHTTP: &o.HTTPListener, nameHTTPS: &o.HTTPSListener, nameControl: &o.ControlListener, nameMetrics: &o.MetricsListener,
	}[name]
	if *place != nil {
		return fmt.Errorf("two inherited listeners for %s: %s and %s; one address is supported", name, (*place).Addr(), l.Addr())
	}
	if u, ok := l.(*net.UnixListener); ok {
		// The file belongs to who holds the socket open.
		u.SetUnlinkOnClose(false)
	}
	*place = l
	return nil
}

// ready tells systemd, or the process that handed over, that requests are served.
func ready() {
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady+"\nMAINPID="+strconv.Itoa(os.Getpid()))
	if n, err := strconv.Atoi(os.Getenv(readyFD)); err == nil {
		f := os.NewFile(uintptr(n), "ready")
		_, _ = f.Write([]byte{1})
		f.Close()
	}
	_ = os.Unsetenv(readyFD)
}

// shareAll shares every listener; the caller closes the files, on error as well.
func shareAll(listeners []net.Listener, names []string) (files []*os.File, err error) {
	for i, l := range listeners {
		socket, ok := l.(syscall.Conn)
		if !ok {
			return files, fmt.Errorf("the %s listener is not a socket", names[i])
		}
		f, err := share(socket, names[i])
		if err != nil {
			return files, err
		}
		files = append(files, f)
	}
	return files, nil
}

// handOver starts this program anew with the listeners and returns once it
// serves. On error the new process is gone and this one has lost nothing.
func handOver(p *proxy.Proxy, log *slog.Logger) error {
	path, err := os.Executable()
	if err != nil {
		return err
	}
	listeners, names := p.Listeners()
	files, err := shareAll(listeners, names)
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := exec.Command(path, os.Args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = append(files[:len(files):len(files)], w)
	cmd.Env = append(os.Environ(),
		"LISTEN_PID=self",
		"LISTEN_FDS="+strconv.Itoa(len(files)),
		"LISTEN_FDNAMES="+strings.Join(names, ":"),
		readyFD+"="+strconv.Itoa(3+len(files)))
	err = cmd.Start()
	w.Close()
	if err != nil {
		return err
	}
	_ = r.SetReadDeadline(time.Now().Add(30 * time.Second))
	if n, err := r.Read(make([]byte, 1)); n != 1 {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return errors.Join(errors.New("the new process did not start to serve"), err)
	}
	for _, l := range listeners {
		if u, ok := l.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false) // its file is the new process's now
		}
	}
	log.Info("handed over", "pid", cmd.Process.Pid)
	go func() {
		// It is this one's child as long as this one lives: if it ends, nobody else is told.
		err := cmd.Wait()
		if err == nil && answers(p.ControlAddr()) {
			return // it has handed over in its turn; WebSockets may go on here
		}
		log.Error("the process that took over has ended", "error", err)
		os.Exit(1)
	}()
	return nil
}

// answers tells whether a proxy serves at the control socket.
func answers(socket string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	client := control.NewClient(socket)
	_, err := client.Services(ctx)
	return errors.Join(err, client.Close()) == nil
}
