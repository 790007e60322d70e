package podman_test

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"towline/daemon"
)

// What keeps the firewall writes what is gone, and nothing while all is there: not for ever
// the rules of the add-ons, of which there are none here.
func TestFirewallIsKeptAndLeftAlone(t *testing.T) {
	e := newEngine(t)
	network := newNetwork(t, e)
	started(t, e, daemon.ContainerSpec{Init: true, Networks: []daemon.Attachment{attached(network)}}, "sleep")
	bridge := bridgeOf(t, network)
	var seen lockedBuffer
	monitor := exec.Command("nft", "monitor")
	monitor.Stdout = &seen
	if err := monitor.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var kept sync.WaitGroup
	kept.Go(func() { e.KeepFirewall(ctx, func(err error) { t.Error(err) }) })
	defer func() {
		cancel()
		kept.Wait()
		_ = monitor.Process.Kill()
		_ = monitor.Wait()
	}()
	take := func() { nft(t, "delete element inet towline bridges { "+bridge+" . "+bridge+" }") }
	has := func() bool {
		out, err := exec.Command("nft", "list", "set", "inet", "towline", "bridges").Output()
		return err == nil && bytes.Contains(out, []byte(bridge))
	}
	for range 2 {
		within(t, time.Minute, "the rule is there", func() bool {
			if !has() {
				return false
			}
			take()
			return true
		})
		within(t, 2*time.Minute, "the rule is back", has)
	}
	count := func() int { return strings.Count(seen.String(), "add chain bridge towline answers-"+run) }
	within(t, time.Minute, "the monitor has told of that", func() bool { return count() > 0 })
	// Nothing changes from here on. Twenty times what it waits for a change to end:
	before := count()
	time.Sleep(2 * time.Second)
	if after := count(); after > before+1 { // which the monitor may tell late
		t.Errorf("written %d times more, though all was there", after-before)
	}
}

type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
