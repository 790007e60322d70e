package cgroup

import (
	"bytes"
	"errors"
	"time"

	"towline/daemon"
)

// tick is the unit of /proc/stat, as every Linux has it towards programs.
const tick = 10 * time.Millisecond

// Host implements daemon.Meters. Its Limit is all of the machine's memory.
func (m *Meters) Host() (daemon.Reading, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var r daemon.Reading
	line, _, _ := bytes.Cut(m.read(m.proc+"/stat"), []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 9 || string(fields[0]) != "cpu" {
		return r, errors.New("/proc/stat does not say what the processors did")
	}
	for i, f := range fields[1:9] {
		if i != 3 && i != 4 { // idle, and waiting for disks
			r.CPU += time.Duration(parse(f)) * tick
		}
	}
	kib := map[string]int64{}
	for _, line := range bytes.Split(m.read(m.proc+"/meminfo"), []byte("\n")) {
		if f := bytes.Fields(line); len(f) >= 2 {
			kib[string(bytes.TrimSuffix(f[0], []byte(":")))] = parse(f[1])
		}
	}
	r.Limit = kib["MemTotal"] << 10
	r.Memory = r.Limit - kib["MemAvailable"]<<10
	r.Swap = (kib["SwapTotal"] - kib["SwapFree"]) << 10
	m.lines(m.proc+"/vmstat", func(key string, n int64) {
		if key == "oom_kill" {
			r.OOMKills = n
		}
	})
	m.pressures(&r, m.proc+"/pressure/", "")
	return r, nil
}
