package podman

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"towline/daemon"
)

// Podman's monitor tells of a container that ended for want of memory where it can, which
// is not on every machine, and never of a process in it that is not its first. The kernel
// tells of each in its log.

// memoryKills remembers the containers of which the kernel killed a process at their limit
// of memory.
type memoryKills struct {
	mu  sync.Mutex
	ids []string // the newest last
}

// maxMemoryKills bounds what is remembered.
const maxMemoryKills = 256

func (k *memoryKills) add(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if i := slices.Index(k.ids, id); i >= 0 {
		k.ids = slices.Delete(k.ids, i, i+1)
	}
	k.ids = append(k.ids, id)
	k.ids = k.ids[max(0, len(k.ids)-maxMemoryKills):]
}

func (k *memoryKills) has(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Contains(k.ids, id)
}

// kill is what the kernel's log says of one.
type kill struct {
	id      string // of the container
	process string // its name, which the container has chosen
}

// What comes before the last field is not chosen by the container.
var killLine = regexp.MustCompile(`oom-kill:constraint=CONSTRAINT_MEMCG,.*?,oom_memcg=[^,]*?libpod-([0-9a-f]{64})[^,]*,task_memcg=[^,]*,task=(.*),pid=[0-9]+,uid=`)

func parseKill(line string) (kill, bool) {
	m := killLine.FindStringSubmatch(line)
	if m == nil {
		return kill{}, false
	}
	name := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '\\' {
			return -1
		}
		return r
	}, m[2])
	return kill{id: m[1], process: name[:min(16, len(name))]}, true
}

// followKills sends an event for each kill in one of this installation's containers, until
// ctx ends. Where the kernel's log can't be read there are none.
func (e *containerEngine) followKills(ctx context.Context, events chan<- daemon.Event) {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	log := os.NewFile(uintptr(fd), "/dev/kmsg")
	defer log.Close()
	defer context.AfterFunc(ctx, func() { log.Close() })()
	if _, err := log.Seek(0, io.SeekEnd); err != nil {
		return
	}
	record := make([]byte, 16<<10)
	for ctx.Err() == nil {
		n, err := log.Read(record)
		if errors.Is(err, unix.EPIPE) { // some were overwritten before they were read
			continue
		}
		if err != nil {
			return
		}
		if !bytes.Contains(record[:n], []byte("oom-kill:")) {
			continue
		}
		k, ok := parseKill(string(record[:n]))
		if !ok {
			continue
		}
		e.kills.add(k.id)
		data, err := e.inspect(ctx, k.id)
		if err != nil || data.Config == nil || data.Config.Labels[Label] != e.name {
			continue
		}
		select {
		case events <- daemon.Event{Container: data.Name, Labels: data.Config.Labels, OutOfMemory: k.process}:
		case <-ctx.Done():
		}
	}
}
