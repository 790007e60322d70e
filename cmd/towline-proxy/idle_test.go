package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// switches counts how often the threads of a process have gone to sleep and come back.
func switches(t *testing.T, pid int) (n int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("no threads of %d: %v", pid, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
				count, err := strconv.Atoi(strings.TrimSpace(rest))
				if err != nil {
					t.Fatal(err)
				}
				n += count
			}
		}
	}
	return n
}

// A proxy with nothing to do sleeps: among 100 quiet apps, after it has had something
// to do, it comes to a second and more in which hardly any of its threads wakes up.
func TestIdleProxySleeps(t *testing.T) {
	s := newStand(t)
	routes := filepath.Join(s.dir, "state", "routes")
	if err := os.MkdirAll(routes, 0o700); err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		text := fmt.Sprintf(`{"version":1,"service":{"name":"app%d","hosts":["app%d.localhost"],"targets":[{"id":"web.1","address":"127.0.0.1:9"}],"health":{},"options":{}}}`, n, n)
		if err := os.WriteFile(fmt.Sprintf("%s/app%d.json", routes, n), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := s.run()
	s.deploy(target(t))
	res, err := s.client.Get("https://shop.localhost/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	const window, most = 1500 * time.Millisecond, 8
	var seen []int
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		before := switches(t, cmd.Process.Pid)
		time.Sleep(window) // what is measured, not what is waited for
		n := switches(t, cmd.Process.Pid) - before
		if seen = append(seen, n); n <= most {
			return
		}
	}
	t.Errorf("threads woke up %v times in each %v", seen, window)
}

// resident is the memory of a process, in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return n * os.Getpagesize()
}

// What a burst of connections took goes back to the machine when it is over.
func TestMemoryOfABurstIsGivenBack(t *testing.T) {
	if !memoryIsTold {
		t.Skip("with the race detector most of the memory is its own: make race runs this without it too")
	}
	s := newStand(t)
	cmd := s.run()
	s.deploy(target(t))
	s.waitForRequests(10)
	before := resident(t, cmd.Process.Pid)
	config := s.client.Transport.(*http.Transport).TLSClientConfig.Clone()
	config.ServerName = "shop.localhost"
	var open []net.Conn
	for range 1000 {
		c, err := tls.Dial("tcp", s.https.Addr().String(), config)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := askOnce(c, bufio.NewReader(c)); err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	for _, c := range open {
		c.Close()
	}
	burst := resident(t, cmd.Process.Pid)
	most := before + (burst-before)/2
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if now := resident(t, cmd.Process.Pid); now < most {
			t.Logf("%d MB before, %d at the end of the burst, %d then", before>>20, burst>>20, now>>20)
			return
		}
	}
	t.Errorf("%d MB before, %d at the end of the burst, still %d", before>>20, burst>>20, resident(t, cmd.Process.Pid)>>20)
}
