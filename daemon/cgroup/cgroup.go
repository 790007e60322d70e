// Package cgroup reads what containers use from the kernel's files, of control groups of version 2
// and 1, and of both at once, as some machines have them. It asks Podman nothing.
package cgroup

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"towline/daemon"
)

// Meters is a daemon.Meters.
type Meters struct {
	root, proc string

	mu   sync.Mutex // guards what follows
	buf  []byte
	last map[string]reading // the last of each container
}

// reading is one of a container, and which of it is old.
type reading struct {
	daemon.Reading
	wholeCPU time.Duration // what it had used when all was read
	reused   int           // how often the whole was taken for the same since then
}

var _ daemon.Meters = (*Meters)(nil)

// New reads below root and proc, as a rule /sys/fs/cgroup and /proc.
func New(root, proc string) *Meters {
	return &Meters{root: root, proc: proc, buf: make([]byte, 8<<10), last: map[string]reading{}}
}

// idle is how much of the processor a container may have used since its last reading without being
// read again, but for that: most of a machine's containers wait for somebody to come.
const idle = 50 * time.Millisecond

// maxReused is how often the whole of what a container uses is taken for the same, while it is as
// idle as that from one whole reading to the next. The kernel may take pages from it meanwhile.
const maxReused = 9

// parents are where Podman puts the control groups of containers: those of cgroupfs, of systemd
// where nobody says another slice, and the slices of the package.
var parents = []string{
	"libpod_parent", "machine.slice", "towline.slice/towline-apps.slice", "towline.slice/towline-addons.slice", "towline.slice/towline-builds.slice",
}

// idLength is that of a container's ID.
const idLength = 64

// containerOf is the ID in the name of a container's control group; empty: it is another's.
func containerOf(name string) string {
	id, ok := strings.CutPrefix(strings.TrimSuffix(name, ".scope"), "libpod-")
	if !ok || len(id) != idLength || strings.Trim(id, "0123456789abcdef") != "" {
		return ""
	}
	return id
}

// Containers implements daemon.Meters.
func (m *Meters) Containers(whole bool) ([]daemon.Reading, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	unified := m.root
	v1 := false
	if _, err := os.Stat(filepath.Join(m.root, "cgroup.controllers")); err != nil {
		// With version 1 each controller has a tree of its own, and that of version 2, if it is there
		// too, tells of pressure.
		v1, unified = true, filepath.Join(m.root, "unified")
	}
	tree := unified
	if v1 {
		tree = filepath.Join(m.root, "memory")
	}
	var list []reading
	var errs []error
	for _, parent := range parents {
		dir, err := os.Open(filepath.Join(tree, parent))
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
			continue
		}
		names, err := dir.Readdirnames(-1)
		errs = append(errs, err, dir.Close())
		for _, name := range names {
			id := containerOf(name)
			if id == "" {
				continue
			}
			r := daemon.Reading{ID: id}
			if v1 {
				m.cpu1(&r, parent+"/"+name)
			} else {
				m.cpu2(&r, filepath.Join(unified, parent, name))
			}
			if last, ok := m.last[id]; ok && last.same(r.CPU, whole) {
				list = append(list, last)
				continue
			}
			there := false
			if v1 {
				there = m.version1(&r, parent+"/"+name, unified, whole)
			} else {
				there = m.version2(&r, filepath.Join(unified, parent, name), whole)
			}
			if there {
				now := reading{Reading: r, wholeCPU: r.CPU}
				if !whole { // the next whole reading is to be one
					now.wholeCPU = r.CPU - idle
				}
				list = append(list, now)
			}
		}
	}
	clear(m.last)
	var readings []daemon.Reading
	for _, r := range list {
		m.last[r.ID] = r
		readings = append(readings, r.Reading)
	}
	return readings, errors.Join(errs...)
}

// same tells whether a container that has used so much of the processor is taken to use the same of
// everything else as before. Then that is noted.
func (r *reading) same(cpu time.Duration, whole bool) bool {
	since := r.CPU
	if whole {
		since = r.wholeCPU
	}
	if cpu == 0 || cpu-since >= idle || whole && r.reused >= maxReused {
		return false
	}
	r.CPU = max(r.CPU, cpu)
	if whole {
		r.wholeCPU = cpu
		r.reused++
	}
	return true
}

func (m *Meters) cpu2(r *daemon.Reading, dir string) {
	m.lines(dir+"/cpu.stat", func(key string, n int64) {
		switch key {
		case "usage_usec":
			r.CPU = time.Duration(n) * time.Microsecond
		case "throttled_usec":
			r.Throttled = time.Duration(n) * time.Microsecond
		}
	})
}

func (m *Meters) cpu1(r *daemon.Reading, name string) {
	used, _ := m.number(filepath.Join(m.root, "cpuacct", name, "cpuacct.usage"))
	r.CPU = time.Duration(used)
}

// version2 reads the group at dir. It tells whether that is there, and counts memory.
func (m *Meters) version2(r *daemon.Reading, dir string, whole bool) bool {
	memory, ok := m.number(dir + "/memory.current")
	if !ok {
		return false
	}
	m.lines(dir+"/memory.stat", func(key string, n int64) {
		if key == "inactive_file" {
			memory -= n
		}
	})
	r.Memory = max(0, memory)
	r.Limit, _ = m.number(dir + "/memory.max") // "max" is no number
	r.Swap, _ = m.number(dir + "/memory.swap.current")
	if !whole {
		return true
	}
	r.Peak, _ = m.number(dir + "/memory.peak")
	r.Pids, _ = m.number(dir + "/pids.current")
	m.lines(dir+"/memory.events", func(key string, n int64) {
		if key == "oom_kill" {
			r.OOMKills = n
		}
	})
	for _, device := range bytes.Split(m.read(dir+"/io.stat"), []byte("\n")) {
		for _, field := range bytes.Fields(device) {
			key, value, _ := bytes.Cut(field, []byte("="))
			switch n := parse(value); string(key) {
			case "rbytes":
				r.Read += n
			case "wbytes":
				r.Written += n
			}
		}
	}
	m.pressures(r, dir+"/", ".pressure")
	return true
}

// unlimited is more memory than there is: version 1 says so where there is no limit.
const unlimited = 1 << 60

// version1 reads the group of that name in each controller's tree.
func (m *Meters) version1(r *daemon.Reading, name, unified string, whole bool) bool {
	memory := filepath.Join(m.root, "memory", name)
	used, ok := m.number(memory + "/memory.usage_in_bytes")
	if !ok {
		return false
	}
	m.lines(memory+"/memory.stat", func(key string, n int64) {
		switch key {
		case "total_inactive_file":
			used -= n
		case "total_swap":
			r.Swap = n
		}
	})
	r.Memory = max(0, used)
	if r.Limit, _ = m.number(memory + "/memory.limit_in_bytes"); r.Limit >= unlimited {
		r.Limit = 0
	}
	m.lines(filepath.Join(m.root, "cpu", name, "cpu.stat"), func(key string, n int64) {
		if key == "throttled_time" {
			r.Throttled = time.Duration(n)
		}
	})
	if !whole {
		return true
	}
	r.Peak, _ = m.number(memory + "/memory.max_usage_in_bytes")
	r.Pids, _ = m.number(filepath.Join(m.root, "pids", name, "pids.current"))
	m.lines(memory+"/memory.oom_control", func(key string, n int64) {
		if key == "oom_kill" {
			r.OOMKills = n
		}
	})
	for _, line := range bytes.Split(m.read(filepath.Join(m.root, "blkio", name, "blkio.throttle.io_service_bytes_recursive")), []byte("\n")) {
		fields := bytes.Fields(line) // device, what, bytes
		if len(fields) != 3 {
			continue
		}
		switch n := parse(fields[2]); string(fields[1]) {
		case "Read":
			r.Read += n
		case "Write":
			r.Written += n
		}
	}
	m.pressures(r, filepath.Join(unified, name)+"/", ".pressure")
	return true
}

// pressures reads how long some had to wait, from files that are named for what.
func (m *Meters) pressures(r *daemon.Reading, before, after string) {
	for what, total := range map[string]*time.Duration{"cpu": &r.CPUPressure, "memory": &r.MemoryPressure, "io": &r.IOPressure} {
		line, _, _ := bytes.Cut(m.read(before+what+after), []byte("\n"))
		if _, n, ok := bytes.Cut(line, []byte("total=")); ok && bytes.HasPrefix(line, []byte("some ")) {
			*total = time.Duration(parse(n)) * time.Microsecond
		}
	}
}

// read is the beginning of a file, until the next read; empty of one that is gone. It does without
// os.File, which would ask the kernel to watch each.
func (m *Meters) read(path string) []byte {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	n := 0
	for n < len(m.buf) {
		got, err := unix.Read(fd, m.buf[n:])
		if got <= 0 || err != nil {
			break // what can't be read says nothing
		}
		n += got
	}
	return m.buf[:n]
}

func (m *Meters) number(path string) (int64, bool) {
	text := bytes.TrimSpace(m.read(path))
	n, err := strconv.ParseInt(string(text), 10, 64)
	return n, err == nil
}

// parse is 0 of what is no number.
func parse(text []byte) int64 {
	n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// lines calls each with every line that is a word and a number.
func (m *Meters) lines(path string, each func(key string, n int64)) {
	for rest := m.read(path); len(rest) > 0; {
		line := rest
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			line, rest = rest[:i], rest[i+1:]
		} else {
			rest = nil
		}
		if key, n, ok := bytes.Cut(line, []byte(" ")); ok {
			each(string(key), parse(n))
		}
	}
}
