package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"towline/proxy/control"
)

// process is a proxy that runs, its children included.
type process struct {
	cmd  *exec.Cmd
	port int
}

func (b *bench) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.running {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		_ = p.cmd.Wait()
	}
	b.running = nil
}

// spawn starts a command in a process group of its own.
func (b *bench) spawn(port int, output string, name string, args ...string) (*process, error) {
	out, err := os.Create(b.path(output))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+b.dir, "XDG_CONFIG_HOME="+b.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	b.mu.Lock()
	if err := cmd.Start(); err != nil {
		b.mu.Unlock()
		return nil, err
	}
	p := &process{cmd: cmd, port: port}
	b.running = append(b.running, p)
	b.mu.Unlock()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", port))
		if err == nil {
			c.Close()
			return p, nil
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(out.Name())
			return nil, fmt.Errorf("does not listen: %s", text)
		}
	}
}

func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (b *bench) startUpstream() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	port := freePort()
	b.address = fmt.Sprint("127.0.0.1:", port)
	_, err = b.spawn(port, "upstream.out", self, "-upstream", b.address)
	return err
}

// certificate makes one for localhost, for all proxies.
func (b *bench) certificate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"bench.localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	crt := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	k := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return errors.Join(os.WriteFile(b.path("c.crt"), crt, 0o644), os.WriteFile(b.path("c.key"), k, 0o644),
		os.WriteFile(b.path("c.pem"), append(crt, k...), 0o644))
}

// start configures and starts one proxy.
func (b *bench) start(name string, logging bool) (*process, error) {
	port := freePort()
	dir := filepath.Join(b.dir, fmt.Sprint(name, logging))
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	config, args := configs[name](dir, b.dir, b.address, port, logging)
	file := filepath.Join(dir, "config")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return nil, err
	}
	p, err := b.spawn(port, fmt.Sprint(name, logging, ".out"), b.programs[name], append(args, file)...)
	if err != nil || name != "towline" {
		return p, err
	}
	c := control.NewClient(filepath.Join(dir, "control.sock"))
	defer func() { _ = c.Close() }()
	ctx := context.Background()
	// It listens for clients before it takes orders.
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err = c.Services(ctx); err == nil {
			break
		}
	}
	if err := c.Deploy(ctx, control.Service{Name: "bench", Hosts: []string{"bench.localhost"}, Targets: []control.Target{{ID: "web.1", Address: b.address}}}); err != nil {
		return nil, err
	}
	crt, _ := os.ReadFile(b.path("c.crt"))
	key, _ := os.ReadFile(b.path("c.key"))
	return p, c.SetCertificate(ctx, "bench.localhost", crt, key)
}

// self stands for this process.
func self() *exec.Cmd {
	return &exec.Cmd{Process: &os.Process{Pid: os.Getpid()}}
}

// pids are the process and its children.
func (p *process) pids() []int {
	list := []int{p.cmd.Process.Pid}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.cmd.Process.Pid))
	for _, f := range tasks {
		text, _ := os.ReadFile(f)
		for _, s := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(s); err == nil {
				list = append(list, n)
			}
		}
	}
	return list
}

// cpu is the time that the process has used, user and system.
func (p *process) cpu() time.Duration {
	var total time.Duration
	for _, pid := range p.pids() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		user, _ := strconv.Atoi(f[11])
		system, _ := strconv.Atoi(f[12])
		total += time.Duration(user+system) * 10 * time.Millisecond
	}
	return total
}

// rss is the resident memory in bytes.
func (p *process) rss() int {
	total := 0
	for _, pid := range p.pids() {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if f := strings.Fields(string(text)); len(f) > 1 {
			n, _ := strconv.Atoi(f[1])
			total += n * os.Getpagesize()
		}
	}
	return total
}

// openIdle opens n TLS connections, each after one request.
func openIdle(port, n int) (conns []net.Conn, err error) {
	config := &tls.Config{InsecureSkipVerify: true, ServerName: "bench.localhost"}
	buf := make([]byte, 4<<10)
	for range n {
		c, err := tls.Dial("tcp", fmt.Sprint("127.0.0.1:", port), config)
		if err != nil {
			return conns, err
		}
		conns = append(conns, c)
		if _, err := c.Write([]byte("GET /1k HTTP/1.1\r\nHost: bench.localhost\r\n\r\n")); err != nil {
			return conns, err
		}
		for got := 0; got < 1<<10; {
			m, err := c.Read(buf)
			if err != nil {
				return conns, err
			}
			got += m
		}
	}
	return conns, nil
}

func machine() string {
	model := "unknown processor"
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
		}
	}
	return fmt.Sprintf("%s, %d cores, %s, %s, TLS 1.3.", model, runtime.NumCPU(), runtime.Version(), time.Now().UTC().Format("2 January 2006"))
}
