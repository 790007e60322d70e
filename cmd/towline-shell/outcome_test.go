package main

import (
	"bufio"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
)

// relay stands between the shell and the daemon's socket: cut ends every connection
// and takes no other, as when the daemon dies; from mend on all is as before.
type relay struct {
	t     testing.TB
	path  string
	l     net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func newRelay(h *host) *relay {
	check(h.t, os.Rename(h.dir+"/towlined.sock", h.dir+"/behind.sock"))
	r := &relay{t: h.t, path: h.dir + "/towlined.sock"}
	r.mend(h.dir + "/behind.sock")
	h.t.Cleanup(func() { r.cut() })
	return r
}

func (r *relay) mend(behind string) {
	l, err := net.Listen("unix", r.path)
	check(r.t, err)
	check(r.t, os.Chmod(r.path, 0o666))
	r.l = l
	go func() {
		for {
			front, err := l.Accept()
			if err != nil {
				return
			}
			back, err := net.Dial("unix", behind)
			if err != nil {
				front.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, front, back)
			r.mu.Unlock()
			go func() { _, _ = io.Copy(back, front); back.Close() }()
			go func() { _, _ = io.Copy(front, back); front.Close() }()
		}
	}()
}

func (r *relay) cut() {
	r.l.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.Close()
	}
	r.conns = nil
}

// TestPushOverRestart: where the daemon dies in the middle of a deploy, the push says
// what the daemon makes of it when it is back, and the branch is at what serves.
func TestPushOverRestart(t *testing.T) {
	for _, kept := range []bool{true, false} {
		h := newHost(t)
		r := newRelay(h)
		dir := h.checkout()
		if kept {
			h.tell(&h.served, h.out(dir, nil, "rev-parse", "HEAD"))
		}
		push := h.gitCommand(dir, "push", h.url("shop"), "main:slow")
		stderr, err := push.StderrPipe()
		check(t, err)
		check(t, push.Start())
		var said strings.Builder
		for s := bufio.NewScanner(stderr); s.Scan(); {
			said.WriteString(s.Text() + "\n")
			if strings.Contains(s.Text(), "building") {
				r.cut()
			}
			if strings.Contains(s.Text(), "the daemon does not answer") {
				r.mend(h.dir + "/behind.sock")
			}
		}
		err = push.Wait()
		close(h.gate)
		want, refs := "Released after all", "refs/heads/slow"
		if !kept {
			want, refs = "the deploy was undone", ""
		}
		if (err == nil) != kept || !strings.Contains(said.String(), want) || h.refs() != refs {
			t.Errorf("kept %v: %v, refs %q\n%s", kept, err, h.refs(), &said)
		}
	}
}
