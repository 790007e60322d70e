// Probe is the one program of the test image.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	args := os.Args[1:]
	for len(args) > 0 {
		verb, rest := args[0], args[1:]
		args = nil
		switch verb {
		case "out": // out TEXT [verb...]
			fmt.Print(rest[0])
			args = rest[1:]
		case "err":
			fmt.Fprint(os.Stderr, rest[0])
			args = rest[1:]
		case "exit":
			code, _ := strconv.Atoi(rest[0])
			os.Exit(code)
		case "sleep": // until a signal ends it
			time.Sleep(time.Hour)
		case "nap": // nap DURATION [verb...]
			d, _ := time.ParseDuration(rest[0])
			time.Sleep(d)
			args = rest[1:]
		case "ignore": // SIGTERM
			signal.Ignore(syscall.SIGTERM)
			fmt.Println("ready")
			args = rest
		case "hush": // close the input and both outputs
			os.Stdin.Close()
			os.Stdout.Close()
			os.Stderr.Close()
			args = rest
		case "cat":
			if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
				fail(err)
			}
			args = rest
		case "flood": // flood BYTES: a known pattern on both outputs
			n, _ := strconv.Atoi(rest[0])
			line := strings.Repeat("x", 99) + "\n"
			for i := 0; i < n/len(line); i++ {
				_, _ = io.WriteString(os.Stdout, line)
				_, _ = io.WriteString(os.Stderr, line)
			}
			args = rest[1:]
		case "env":
			fmt.Println(os.Getenv(rest[0]))
			args = rest[1:]
		case "size": // of the terminal, now and at each change
			sizes()
		case "resolve":
			addresses, err := net.LookupHost(rest[0])
			if err != nil {
				fail(err)
			}
			fmt.Println(addresses[0])
		case "query": // query SERVER NAME: of one name server, by UDP and by TCP
			for _, network := range []string{"udp", "tcp"} {
				query(network, rest[0], rest[1])
			}
			fail(errors.New("no answer"))
		case "ask": // ask NAME DURATION: resolve it all the time
			ask(rest[0], rest[1])
			args = rest[2:]
		case "dial":
			conn, err := net.DialTimeout("tcp", rest[0], time.Second)
			if err != nil {
				fail(err)
			}
			answer, _ := io.ReadAll(conn)
			fmt.Print(string(answer))
		case "datagram": // datagram HOST: to a port that nobody has, which the kernel says
			datagram(rest[0])
		case "serve": // serve PORT: says its name to whoever connects
			serve(rest[0])
		case "http":
			fail(http.ListenAndServe(":"+rest[0], nil))
		case "status": // status FIELD of /proc/self/status
			data, _ := os.ReadFile("/proc/self/status")
			for line := range strings.Lines(string(data)) {
				if strings.HasPrefix(line, rest[0]+":") {
					fmt.Print(strings.TrimSpace(strings.TrimPrefix(line, rest[0]+":")))
				}
			}
			args = rest[1:]
		case "read":
			data, err := os.ReadFile(rest[0])
			if err != nil {
				fail(err)
			}
			_, _ = os.Stdout.Write(data)
			args = rest[1:]
		case "write": // write FILE TEXT
			if err := os.WriteFile(rest[0], []byte(rest[1]), 0o644); err != nil {
				fail(err)
			}
			args = rest[2:]
		case "rlimits":
			for _, l := range []struct {
				name     string
				resource int
			}{{"files", syscall.RLIMIT_NOFILE}, {"size", syscall.RLIMIT_FSIZE}} {
				var now syscall.Rlimit
				if err := syscall.Getrlimit(l.resource, &now); err != nil {
					fail(err)
				}
				fmt.Println(l.name, now.Cur, now.Max)
			}
		case "truncate": // truncate FILE BYTES
			n, _ := strconv.ParseInt(rest[1], 10, 64)
			err := os.WriteFile(rest[0], nil, 0o644)
			if err == nil {
				err = os.Truncate(rest[0], n)
			}
			if err != nil {
				fail(err)
			}
		case "writable": // writable FILE, by whatever way
			writable(rest[0])
		case "eat": // eat BYTES of memory, and touch them
			n, _ := strconv.Atoi(rest[0])
			block := make([]byte, n)
			for i := 0; i < n; i += 4096 {
				block[i] = 1
			}
			fmt.Println("ate", len(block))
		case "pids": // start children until refused
			pids()
		case "parent":
			fmt.Print(os.Getpid())
			args = rest
		case "link": // the program that is PID 1
			name, _ := os.ReadFile("/proc/1/comm")
			fmt.Print(filepath.Base(strings.TrimSpace(string(name))))
			args = rest
		default:
			fail(fmt.Errorf("unknown verb %q", verb))
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(9)
}

func sizes() {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	go func() { // a line ends it
		var b [1]byte
		_, _ = os.Stdin.Read(b[:])
		os.Exit(0)
	}()
	for {
		var size [4]uint16
		_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, 1, syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size)))
		fmt.Printf("%dx%d\n", size[0], size[1])
		<-changed
	}
}

func ask(name, duration string) {
	d, _ := time.ParseDuration(duration)
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		since := time.Now()
		if _, err := net.LookupHost(name); err != nil {
			fail(err)
		}
		if took := time.Since(since); took > 900*time.Millisecond {
			fail(fmt.Errorf("took %s", took))
		}
	}
}

func query(network, server, name string) {
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server)
	}}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if addresses, err := resolver.LookupHost(ctx, name+"."); err == nil {
		fmt.Println(network, addresses)
		os.Exit(0)
	}
}

func datagram(host string) {
	conn, err := net.Dial("udp", net.JoinHostPort(host, "9"))
	if err != nil {
		fail(err)
	}
	for range 5 {
		_, _ = conn.Write([]byte("x"))
		_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err := conn.Read(make([]byte, 1)); errors.Is(err, syscall.ECONNREFUSED) {
			fmt.Println("refused")
			os.Exit(0)
		}
	}
	os.Exit(9)
}

func serve(port string) {
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		fail(err)
	}
	name, _ := os.Hostname()
	for {
		conn, err := listener.Accept()
		if err != nil {
			fail(err)
		}
		fmt.Fprint(conn, name)
		conn.Close()
	}
}

// writable fails if a file cannot be written to, not even after another mount.
func writable(path string) {
	_ = syscall.Mount("", path, "", syscall.MS_REMOUNT|syscall.MS_BIND, "")
	_ = os.Chmod(path, 0o666)
	if f, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
		fmt.Println("opened", f.Name())
		return
	}
	if err := os.Truncate(path, 1<<20); err != nil {
		fail(err)
	}
	fmt.Println("made larger")
}

func pids() {
	for i := range 200 {
		process, err := os.StartProcess("/proc/self/exe", []string{"probe", "sleep"}, &os.ProcAttr{})
		if err != nil {
			fmt.Println("refused after", i)
			return
		}
		defer func() { _ = process.Kill() }()
	}
	fmt.Println("never refused")
}
