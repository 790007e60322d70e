package proxy

import (
	"bytes"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestGuessesOfOneAddressAreBounded(t *testing.T) {
	g, now := &guesses{}, time.Now()
	guess := func(address string, right bool) time.Duration {
		t.Helper()
		who := guesser(netip.MustParseAddr(address))
		v := g.enter(who, now)
		if v.retry == 0 {
			g.leave(who, right, now)
		}
		return v.retry
	}
	for n := range guessesAtOnce {
		if wait := guess("2001:db8::1", false); wait != 0 {
			t.Fatalf("guess %d has to wait %v", n, wait)
		}
	}
	// Any address of the same /64 is the same client; others are not concerned.
	if wait := guess("2001:db8::9:9", false); wait <= 0 || wait > guessEvery {
		t.Errorf("the next one has to wait %v", wait)
	}
	for _, other := range []string{"2001:db8:0:1::1", "192.0.2.1", "::ffff:192.0.2.2"} {
		if wait := guess(other, true); wait != 0 {
			t.Errorf("%s has to wait %v", other, wait)
		}
	}
	now = now.Add(guessEvery)
	if wait := guess("2001:db8::1", true); wait != 0 {
		t.Errorf("later it has to wait %v", wait)
	}
	if len(g.by) != 0 || g.waiting != 0 {
		t.Errorf("left over: %v, %d", g.by, g.waiting)
	}
}

func TestGuessersAreBounded(t *testing.T) {
	g, now := &guesses{}, time.Now()
	for n := range 3 * maxGuessers {
		who := guesser(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}))
		if v := g.enter(who, now); v.retry != 0 {
			t.Fatal(v)
		}
		g.leave(who, false, now)
	}
	if len(g.wrong) > maxGuessers {
		t.Errorf("%d addresses are remembered", len(g.wrong))
	}
}

// While one service has as many checks as it may, of anybody, its further clients
// are told at once to come back; another service's are not concerned.
func TestChecksThatWaitAreBounded(t *testing.T) {
	busy, other := &guesses{}, &guesses{}
	release := make(chan struct{})
	var wg sync.WaitGroup
	held := func(g *guesses, n int) {
		wg.Go(func() {
			g.try(guesser(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})), func() bool { <-release; return true })
		})
	}
	for n := range maxChecks {
		held(busy, n)
	}
	until := time.Now().Add(time.Minute)
	for {
		busy.mu.Lock()
		n := busy.waiting
		busy.mu.Unlock()
		if n == maxChecks {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("%d wait", n)
		}
		time.Sleep(time.Millisecond)
	}
	address := guesser(netip.MustParseAddr("198.51.100.1"))
	if v := busy.try(address, func() bool { return true }); v.retry <= 0 || !v.busy || v.right {
		t.Errorf("got %+v, want to be told to come back", v)
	}
	// One hash is ahead of it, however many the busy service has.
	var ended, ahead atomic.Int32 // of the busy one's; and of those, before the other's hash
	done := make(chan verdict, 1)
	go func() {
		done <- other.try(address, func() bool { ahead.Store(ended.Load()); return true })
	}()
	for buf := make([]byte, 1<<20); len(done) == 0 && !queuesForHash(buf[:runtime.Stack(buf, true)]); {
		if time.Now().After(until) {
			t.Fatalf("the other service does not come to the queue:\n%s", buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(time.Millisecond)
	}
	for {
		select {
		case v := <-done:
			if n := ahead.Load(); !v.right || n > 1 {
				t.Errorf("the other service came after %d of the busy one: %+v", n, v)
			}
			close(release)
			wg.Wait()
			return
		case release <- struct{}{}:
			ended.Add(1)
		}
	}
}

// queuesForHash tells whether a goroutine waits until no other service computes a hash. The
// one whose hash is computed does not.
func queuesForHash(stacks []byte) bool {
	for goroutine := range bytes.SplitSeq(stacks, []byte("\n\n")) {
		if head, calls, _ := bytes.Cut(goroutine, []byte("\n")); bytes.Contains(head, []byte("[chan send")) && bytes.Contains(calls, []byte("(*guesses).try(")) {
			return true
		}
	}
	return false
}
