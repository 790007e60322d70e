package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"towline/proxy/control"
)

// work is what a proxy is put to besides requests: do makes it once, and tells how
// many units that were.
type work struct {
	name, unit string
	do         func(p *process) (n int, err error)
}

// Sizes of one round.
const (
	messages = 20_000
	sockets  = 16
)

func (b *bench) works() []work {
	mib := int(b.transfer >> 20)
	return []work{
		{fmt.Sprintf("h2, upload of %d MiB", mib), "MiB", func(p *process) (int, error) { return mib, transfer(p.port, http.MethodPost, b.transfer) }},
		{fmt.Sprintf("h2, download of %d MiB", mib), "MiB", func(p *process) (int, error) { return mib, transfer(p.port, http.MethodGet, b.transfer) }},
		{"WebSocket messages of 100 bytes, echoed", "message", func(p *process) (int, error) { return messages, echo(p.port) }},
	}
}

// work runs the rounds, each proxy in turn, and prints one table.
func (b *bench) work(w work, proxies map[string]*process) error {
	used := map[string][]float64{}
	for round := range b.rounds + 1 {
		for _, name := range b.names {
			p := proxies[name]
			before := p.cpu()
			n, err := w.do(p)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", w.name, name, err)
			}
			if round > 0 { // the first warms up
				used[name] = append(used[name], float64((p.cpu()-before).Microseconds())/float64(n))
			}
		}
	}
	middle := func(name string) float64 {
		list := used[name]
		if len(list) == 0 {
			return 0
		}
		slices.Sort(list)
		return list[len(list)/2]
	}
	fmt.Printf("### %s\n\n| proxy | CPU us/%s |\n| --- | --- |\n", w.name, w.unit)
	for _, name := range b.names {
		fmt.Printf("| %s | %s |\n", name, ratio(middle(name), middle("nginx"), 1))
	}
	fmt.Println()
	return nil
}

func clientConfig(protocol string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: "bench.localhost", NextProtos: []string{protocol}}
}

func address(port int) string { return fmt.Sprint("127.0.0.1:", port) }

// transfer sends or gets a body of so many bytes over h2.
func transfer(port int, method string, size int64) error {
	tr := &http.Transport{TLSClientConfig: clientConfig("h2"), ForceAttemptHTTP2: true, DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address(port))
		}}
	defer tr.CloseIdleConnections()
	r, err := http.NewRequest(method, fmt.Sprintf("https://bench.localhost:%d/size/%d", port, size), nil)
	if err != nil {
		return err
	}
	want := size
	if method == http.MethodPost {
		r.Body, r.ContentLength, want = io.NopCloser(io.LimitReader(zeros{}, size)), size, 1<<10
		r.URL.Path = "/1k"
	}
	res, err := tr.RoundTrip(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if err == nil && (res.StatusCode != 200 || n != want || res.ProtoMajor != 2) {
		err = fmt.Errorf("%s: status %d, %d bytes of %d", res.Proto, res.StatusCode, n, want)
	}
	return err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// openSocket opens a WebSocket.
func openSocket(port int) (net.Conn, *bufio.Reader, error) {
	c, err := tls.Dial("tcp", address(port), clientConfig("http/1.1"))
	if err != nil {
		return nil, nil, err
	}
	_, err = io.WriteString(c, "GET /socket HTTP/1.1\r\nHost: bench.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	r := bufio.NewReader(c)
	if err == nil {
		var res *http.Response
		if res, err = http.ReadResponse(r, nil); err == nil && res.StatusCode != 101 {
			err = fmt.Errorf("upgrade: status %d", res.StatusCode)
		}
	}
	if err != nil {
		_ = c.Close()
		return nil, nil, err
	}
	return c, r, nil
}

// echo sends messages on some WebSockets at a time, each once the last came back.
func echo(port int) error {
	errs := make(chan error, sockets)
	for range sockets {
		go func() {
			c, r, err := openSocket(port)
			if err == nil {
				defer c.Close()
				message := []byte(strings.Repeat("x", 100))
				for range messages / sockets {
					if _, err = c.Write(message); err == nil {
						_, err = io.ReadFull(r, message)
					}
					if err != nil {
						break
					}
				}
			}
			errs <- err
		}()
	}
	for range sockets {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// socketMemory opens idle WebSockets to each proxy and prints what it then holds more.
func (b *bench) socketMemory() error {
	n := b.sockets
	fmt.Printf("### %d idle WebSockets\n\n| proxy | RSS MB | before |\n| --- | --- | --- |\n", n)
	for _, name := range b.names {
		p, err := b.start(name, false)
		if err != nil {
			return err
		}
		before := p.rss()
		var open []net.Conn
		for range n {
			c, _, err := openSocket(p.port)
			if err != nil {
				return fmt.Errorf("%s: WebSocket %d: %w", name, len(open), err)
			}
			open = append(open, c)
		}
		fmt.Printf("| %s | %.1f | %.1f |\n", name, float64(p.rss())/1e6, float64(before)/1e6)
		for _, c := range open {
			c.Close()
		}
	}
	fmt.Println()
	return nil
}

// quiet measures each proxy while nobody asks it for anything; towline-proxy has a
// hundred apps.
func (b *bench) quiet() error {
	length := b.quietTime
	fmt.Printf("### nobody asks, %s\n\n| proxy | %% of a core | RSS MB |\n| --- | --- | --- |\n", length)
	var list []*process
	for _, name := range b.names {
		p, err := b.start(name, false)
		if err != nil {
			return err
		}
		if name == "towline" {
			if err := b.addApps(filepath.Join(b.dir, fmt.Sprint(name, false), "control.sock"), 100); err != nil {
				return err
			}
		}
		list = append(list, p)
	}
	time.Sleep(2 * time.Second) // what starts has started
	before := make([]time.Duration, len(list))
	for i, p := range list {
		before[i] = p.cpu()
	}
	time.Sleep(length)
	for i, p := range list {
		fmt.Printf("| %s | %.2f | %.1f |\n", b.names[i], 100*float64(p.cpu()-before[i])/float64(length), float64(p.rss())/1e6)
	}
	fmt.Println()
	return nil
}

// addApps deploys n apps.
func (b *bench) addApps(socket string, n int) error {
	c := control.NewClient(socket)
	defer func() { _ = c.Close() }()
	for i := range n {
		name := fmt.Sprint("quiet", i)
		if err := c.Deploy(context.Background(), control.Service{Name: name, Hosts: []string{name + ".localhost"},
			Targets: []control.Target{{ID: "web.1", Address: b.address}}}); err != nil {
			return err
		}
	}
	return nil
}
