// Bench compares towline-proxy with nginx, HAProxy and Caddy: the same upstream,
// certificate and load, in turns, several rounds. What counts is the CPU time of
// the proxy's processes for each request, as a ratio to nginx's: it hardly
// depends on what else the machine does, unlike requests per second.
//
//	go run ./proxy/bench -towline bin/towline-proxy
//
// What is missing is installed: nginx, HAProxy and h2load by apt-get, Caddy by go install.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// scenario is one cell of the table.
type scenario struct {
	protocol string // h1 or h2
	path     string // of the upstream: /1k or /100k
	logging  bool
}

func (s scenario) String() string {
	name := map[string]string{"h1": "HTTP/1.1", "h2": "h2"}[s.protocol] + ", " + map[string]string{"/1k": "1 KiB", "/100k": "100 KiB"}[s.path]
	if s.logging {
		name += ", access log"
	}
	return name
}

func main() {
	log.SetFlags(0)
	towline := flag.String("towline", "bin/towline-proxy", "towline-proxy `program`")
	caddy := flag.String("caddy", "", "Caddy `program`; default: built into bin/")
	only := flag.String("only", "towline,nginx,haproxy,caddy", "proxies to run")
	rounds := flag.Int("rounds", 3, "rounds of each scenario")
	length := flag.Duration("length", 2*time.Second, "length of a round")
	cases := flag.String("cases", "", "run only scenarios whose name contains this")
	idle := flag.Int("idle", 10000, "idle connections to hold open for the memory figure; 0: skip")
	shakes := flag.Int("handshakes", 3000, "handshakes of a round, of each kind; 0: skip")
	transfer := flag.Int64("transfer", 1<<30, "`bytes` of one upload or download")
	idleSockets := flag.Int("sockets", 1000, "idle WebSockets to hold open for the memory figure; 0: skip")
	quiet := flag.Duration("quiet", 30*time.Second, "how long to measure proxies that nobody asks for anything; 0: skip")
	profile := flag.String("profile", "", "write a CPU profile of towline-proxy to `file`, and nothing else")
	serve := flag.String("upstream", "", "internal: serve the upstream at this address")
	flag.Parse()
	if *serve != "" {
		log.Fatal(upstream(*serve))
	}
	dir, err := os.MkdirTemp("", "bench-proxy-")
	if err != nil {
		log.Fatal(err)
	}
	b := &bench{dir: dir, programs: map[string]string{"towline": *towline, "nginx": "nginx", "haproxy": "haproxy", "caddy": *caddy},
		names: strings.Split(*only, ","), rounds: *rounds, length: *length, cases: *cases, idle: *idle, shakes: *shakes,
		transfer: *transfer, sockets: *idleSockets, quietTime: *quiet}
	work := b.run
	if *profile != "" {
		work = func() error { return b.profile(*profile) }
	}
	// nginx and HAProxy have workers that outlive this process unless told.
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- work() }()
	select {
	case err = <-done:
	case <-interrupted:
		err = errors.New("interrupted")
	}
	b.stop()
	_ = os.RemoveAll(dir)
	if err != nil {
		log.Fatal(err)
	}
}

// bench holds what runs.
type bench struct {
	dir      string
	programs map[string]string
	names    []string
	rounds   int
	length   time.Duration
	cases    string
	idle     int
	shakes   int

	transfer  int64
	sockets   int
	quietTime time.Duration

	mu      sync.Mutex
	running []*process
	address string // of the upstream
}

func (b *bench) run() error {
	defer b.stop()
	if err := b.install(); err != nil {
		return err
	}
	if err := b.certificate(); err != nil {
		return err
	}
	if err := b.startUpstream(); err != nil {
		return err
	}
	proxies := map[bool]map[string]*process{false: {}, true: {}}
	for _, logging := range []bool{false, true} {
		for _, name := range b.names {
			p, err := b.start(name, logging)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			proxies[logging][name] = p
		}
	}
	fmt.Printf("%s\n\n", machine())
	for _, s := range scenarios() {
		if strings.Contains(s.String(), b.cases) {
			if err := b.scenario(s, proxies[s.logging]); err != nil {
				return err
			}
		}
	}
	if b.shakes > 0 {
		if err := b.handshakes(proxies[false]); err != nil {
			return err
		}
	}
	for _, w := range b.works() {
		if strings.Contains(w.name, b.cases) {
			if err := b.work(w, proxies[false]); err != nil {
				return err
			}
		}
	}
	if b.idle > 0 {
		if err := b.memory(proxies[false]); err != nil {
			return err
		}
	}
	// These have processes of their own: what came before leaves its memory behind.
	if b.sockets > 0 {
		if err := b.afresh(b.socketMemory); err != nil {
			return err
		}
	}
	if b.quietTime > 0 {
		return b.afresh(b.quiet)
	}
	return nil
}

// afresh runs f with nothing running but the upstream.
func (b *bench) afresh(f func() error) error {
	b.stop()
	if err := b.startUpstream(); err != nil {
		return err
	}
	return f()
}

func scenarios() (list []scenario) {
	for _, logging := range []bool{false, true} {
		for _, path := range []string{"/1k", "/100k"} {
			for _, protocol := range []string{"h1", "h2"} {
				list = append(list, scenario{protocol, path, logging})
			}
		}
	}
	return list
}

// paces are below what any of the proxies can do, in requests a second: there,
// latency is the proxy's own and not the queue before a machine that is full.
var paces = map[string]int{"/1k": 4000, "/100k": 1600}

// scenario runs the rounds, each proxy in turn, and prints one table.
func (b *bench) scenario(s scenario, proxies map[string]*process) error {
	full, paced := map[string][]result{}, map[string][]result{}
	for round := range b.rounds + 1 {
		for _, name := range b.names {
			length := b.length
			if round == 0 {
				length = time.Second // warms up, and does not count
			}
			r, err := b.load(proxies[name], s, length, 0)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", s, name, err)
			}
			if round == 0 {
				continue
			}
			full[name] = append(full[name], r)
			if r, err = b.load(proxies[name], s, length, paces[s.path]); err != nil {
				return fmt.Errorf("%s: %s: %w", s, name, err)
			}
			paced[name] = append(paced[name], r)
		}
	}
	fmt.Printf("### %s\n\n| proxy | CPU us/request | requests/s | p50 ms | p99 ms | p50 ms at %[2]d/s | p99 ms at %[2]d/s |\n| --- | --- | --- | --- | --- | --- | --- |\n", s, paces[s.path])
	f, p := median(full["nginx"]), median(paced["nginx"])
	for _, name := range b.names {
		r, q := median(full[name]), median(paced[name])
		fmt.Printf("| %s | %s | %.0f | %s | %s | %s | %s |\n", name, ratio(r.cpu, f.cpu, 1), r.rate,
			ratio(r.p50, f.p50, 2), ratio(r.p99, f.p99, 2), ratio(q.p50, p.p50, 2), ratio(q.p99, p.p99, 2))
	}
	fmt.Println()
	return nil
}

// ratio is a figure, and what it is of nginx's.
func ratio(figure, nginx float64, digits int) string {
	text := fmt.Sprintf("%.*f", digits, figure)
	if nginx > 0 {
		text += fmt.Sprintf(" (%.2f)", figure/nginx)
	}
	return text
}

// settle is how long connections have been idle when memory is measured: what a burst
// left behind may have gone by then.
const settle = 15 * time.Second

// memory opens idle connections to each proxy and prints what it then holds.
func (b *bench) memory(proxies map[string]*process) error {
	held := map[string]float64{}
	for _, name := range b.names {
		p := proxies[name]
		conns, err := openIdle(p.port, b.idle)
		if err != nil {
			return fmt.Errorf("%s: connection %d: %w", name, len(conns), err)
		}
		time.Sleep(settle)
		held[name] = float64(p.rss()) / 1e6
		for _, c := range conns {
			c.Close()
		}
	}
	fmt.Printf("### %d idle keep-alive connections, after %s\n\n| proxy | RSS MB |\n| --- | --- |\n", b.idle, settle)
	for _, name := range b.names {
		fmt.Printf("| %s | %s |\n", name, ratio(held[name], held["nginx"], 0))
	}
	fmt.Println()
	return nil
}

func (b *bench) path(parts ...string) string {
	return filepath.Join(append([]string{b.dir}, parts...)...)
}
