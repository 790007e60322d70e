package cgroup

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"towline/daemon"
)

// tree writes files below a directory of its own.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for path, text := range files {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func under(prefix string, files map[string]string) map[string]string {
	out := map[string]string{}
	for name, text := range files {
		out[prefix+name] = text
	}
	return out
}

func all(parts ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, p := range parts {
		maps.Copy(out, p)
	}
	return out
}

var (
	one = strings.Repeat("1", 64)
	two = strings.Repeat("2a", 32)
)

var version2 = map[string]string{
	"memory.current":      "3000000\n",
	"memory.stat":         "anon 1000\ninactive_file 1000000\nactive_file 5\n",
	"memory.max":          "max\n",
	"memory.swap.current": "4096\n",
	"memory.peak":         "5000000\n",
	"memory.events":       "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\n",
	"pids.current":        "12\n",
	"cpu.stat":            "usage_usec 2500000\nuser_usec 2000000\nnr_throttled 3\nthrottled_usec 7000\n",
	"io.stat":             "8:0 rbytes=100 wbytes=200 rios=1 wios=2\n8:16 rbytes=10 wbytes=20 rios=1 wios=2\n",
	"cpu.pressure":        "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n",
	"memory.pressure":     "some avg10=0.00 avg60=0.00 avg300=0.00 total=2000\nfull total=9\n",
	"io.pressure":         "some avg10=0.00 avg60=0.00 avg300=0.00 total=3000\nfull total=9\n",
}

var of2 = daemon.Reading{
	CPU: 2500 * time.Millisecond, Throttled: 7 * time.Millisecond, Memory: 2000000, Peak: 5000000, Swap: 4096, OOMKills: 1, Pids: 12,
	Read: 110, Written: 220, CPUPressure: time.Millisecond, MemoryPressure: 2 * time.Millisecond, IOPressure: 3 * time.Millisecond,
}

// version1 has the trees of version 1, and that of version 2 for pressure, as on machines with both.
func version1(name string) map[string]string {
	return all(
		under("memory/"+name+"/", map[string]string{
			"memory.usage_in_bytes": "3000000\n", "memory.limit_in_bytes": "536870912\n", "memory.max_usage_in_bytes": "5000000\n",
			"memory.stat":        "cache 5\ninactive_file 1\ntotal_swap 4096\ntotal_inactive_file 1000000\n",
			"memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
		}),
		under("cpuacct/"+name+"/", map[string]string{"cpuacct.usage": "2500000000\n"}),
		under("cpu/"+name+"/", map[string]string{"cpu.stat": "nr_periods 5\nnr_throttled 3\nthrottled_time 7000000\n"}),
		under("pids/"+name+"/", map[string]string{"pids.current": "12\n"}),
		under("blkio/"+name+"/", map[string]string{"blkio.throttle.io_service_bytes_recursive": "8:0 Read 100\n8:0 Write 200\n8:0 Total 300\n8:16 Read 10\n8:16 Write 20\nTotal 330\n"}),
		under("unified/"+name+"/", map[string]string{"cpu.pressure": version2["cpu.pressure"], "memory.pressure": version2["memory.pressure"], "io.pressure": version2["io.pressure"]}),
	)
}

func TestContainers(t *testing.T) {
	root := map[string]string{"cgroup.controllers": "cpu memory pids io\n"}
	limited := all(version2, map[string]string{"memory.max": "536870912\n"})
	light := of2
	light.Peak, light.OOMKills, light.Pids, light.Read, light.Written = 0, 0, 0, 0, 0
	light.CPUPressure, light.MemoryPressure, light.IOPressure = 0, 0, 0
	withLimit := of2
	withLimit.Limit = 512 << 20
	for name, tc := range map[string]struct {
		files map[string]string
		light bool
		want  map[string]daemon.Reading
	}{
		"no containers": {files: root},
		"version 2, systemd's slices": {files: all(root, under("towline.slice/towline-apps.slice/libpod-"+one+".scope/", version2),
			under("towline.slice/towline-addons.slice/libpod-"+two+".scope/", limited)), want: map[string]daemon.Reading{one: of2, two: withLimit}},
		"version 2, cgroupfs": {files: all(root, under("libpod_parent/libpod-"+one+"/", version2)), want: map[string]daemon.Reading{one: of2}},
		"version 2, machine.slice": {files: all(root, under("machine.slice/libpod-"+one+".scope/", version2),
			under("machine.slice/libpod-conmon-"+two+".scope/", version2), under("machine.slice/machine-other.scope/", version2)), want: map[string]daemon.Reading{one: of2}},
		"version 2, only what is cheap": {files: all(root, under("libpod_parent/libpod-"+one+"/", version2)), light: true, want: map[string]daemon.Reading{one: light}},
		"version 2, ended meanwhile":    {files: all(root, map[string]string{"libpod_parent/libpod-" + one + "/cgroup.events": ""})},
		"version 2, hardly anything": {files: all(root, map[string]string{"libpod_parent/libpod-" + one + "/memory.current": "7\n"}),
			want: map[string]daemon.Reading{one: {Memory: 7}}},
		"version 2, rubbish": {files: all(root, under("libpod_parent/libpod-"+one+"/", map[string]string{
			"memory.current": "7\n", "memory.stat": "inactive_file 9999999\nx\n\n", "cpu.stat": "usage_usec many\n", "io.stat": "8:0\n8:0 rbytes\n=\n", "cpu.pressure": "full total=3\n"})),
			want: map[string]daemon.Reading{one: {}}},
		"version 1": {files: version1("libpod_parent/libpod-" + one), want: map[string]daemon.Reading{one: withLimit}},
		"version 1, no limit and no pressure": {files: map[string]string{
			"memory/machine.slice/libpod-" + one + ".scope/memory.usage_in_bytes": "7\n",
			"memory/machine.slice/libpod-" + one + ".scope/memory.limit_in_bytes": "9223372036854771712\n"},
			want: map[string]daemon.Reading{one: {Memory: 7}}},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := New(tree(t, tc.files), "/proc").Containers(!tc.light)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]daemon.Reading{}
			for _, r := range list {
				id := r.ID
				r.ID = ""
				got[id] = r
			}
			if len(got) != len(tc.want) || len(got) > 0 && !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
		})
	}
	if list, err := New(filepath.Join(t.TempDir(), "none"), "/proc").Containers(true); err != nil || list != nil {
		t.Errorf("without control groups: %v, %v", list, err)
	}
}

// A container that does nothing is read again once it does something, or after maxReused readings of
// the whole.
func TestIdleContainer(t *testing.T) {
	for name, tc := range map[string]struct {
		files     map[string]string
		cpu, used string
		per       time.Duration
	}{
		"version 1": {version1("libpod_parent/libpod-" + one), "cpuacct/libpod_parent/libpod-" + one + "/cpuacct.usage", "memory/libpod_parent/libpod-" + one + "/memory.usage_in_bytes", time.Nanosecond},
		"version 2": {all(map[string]string{"cgroup.controllers": ""}, under("libpod_parent/libpod-"+one+"/", version2)), "libpod_parent/libpod-" + one + "/cpu.stat", "libpod_parent/libpod-" + one + "/memory.current", time.Microsecond},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, tc.files)
			m := New(dir, "/proc")
			read := func(whole bool, cpu time.Duration, memory int64) {
				t.Helper()
				list, err := m.Containers(whole)
				if err != nil || len(list) != 1 || list[0].CPU != cpu || list[0].Memory != memory-1000000 {
					t.Errorf("got %+v, %v; want %s and %d", list, err, cpu, memory-1000000)
				}
			}
			write := func(cpu time.Duration, memory int64) {
				text := fmt.Sprint(int64(cpu / tc.per))
				if tc.per == time.Microsecond {
					text = "usage_usec " + text + "\n"
				}
				if err := errors.Join(os.WriteFile(filepath.Join(dir, tc.cpu), []byte(text), 0o600), os.WriteFile(filepath.Join(dir, tc.used), []byte(fmt.Sprint(memory)), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			read(true, 2500*time.Millisecond, 3000000)
			write(2510*time.Millisecond, 5000000)
			read(false, 2510*time.Millisecond, 3000000) // it is idle
			write(2560*time.Millisecond, 5000000)
			read(true, 2560*time.Millisecond, 5000000) // not since the last reading of the whole
			write(2700*time.Millisecond, 6000000)
			read(false, 2700*time.Millisecond, 6000000) // it does something
			write(2701*time.Millisecond, 6100000)
			read(true, 2701*time.Millisecond, 6100000) // of what it did the whole was not read
			write(2702*time.Millisecond, 7000000)
			for range maxReused {
				read(true, 2702*time.Millisecond, 6100000)
			}
			read(true, 2702*time.Millisecond, 7000000)
		})
	}
}

func TestHost(t *testing.T) {
	proc := tree(t, map[string]string{
		"stat":            "cpu  100 10 50 1000 200 0 5 1 0 0\ncpu0 1 2 3\n",
		"meminfo":         "MemTotal:       1000 kB\nMemFree:         1 kB\nMemAvailable:    600 kB\nSwapTotal: 100 kB\nSwapFree: 90 kB\n",
		"vmstat":          strings.Repeat("nr_free_pages 1\n", 300) + "oom_kill 4\n",
		"pressure/cpu":    version2["cpu.pressure"],
		"pressure/memory": version2["memory.pressure"],
	})
	got, err := New("/sys/fs/cgroup", proc).Host()
	want := daemon.Reading{CPU: 1660 * time.Millisecond, Memory: 400 << 10, Limit: 1000 << 10, Swap: 10 << 10, OOMKills: 4,
		CPUPressure: time.Millisecond, MemoryPressure: 2 * time.Millisecond}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if _, err := New("/", t.TempDir()).Host(); err == nil {
		t.Error("no processors, and no error")
	}
}

// The machine that the test runs on has used its processors and its memory.
func TestRealHost(t *testing.T) {
	got, err := New("/sys/fs/cgroup", "/proc").Host()
	if err != nil || got.CPU <= 0 || got.Memory <= 0 || got.Memory >= got.Limit {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestContainerOf(t *testing.T) {
	for name, want := range map[string]string{
		"libpod-" + one: one, "libpod-" + one + ".scope": one, "libpod-conmon-" + one + ".scope": "", "libpod-" + one[1:]: "", "conmon": "", "libpod-": "",
		"libpod-" + one[1:] + "X": "",
	} {
		if got := containerOf(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// BenchmarkContainers reads a hundred, as each ten seconds.
func BenchmarkContainers(b *testing.B) {
	files := map[string]string{"cgroup.controllers": ""}
	for i := range 100 {
		id := strings.Repeat("0", 62) + string("0123456789"[i/10]) + string("0123456789"[i%10])
		maps.Copy(files, under("libpod_parent/libpod-"+id+"/", version2))
	}
	dir := b.TempDir()
	for _, path := range slices.Sorted(maps.Keys(files)) {
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(files[path]), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	m := New(dir, "/proc")
	for name, whole := range map[string]bool{"cheap": false, "whole": true} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if list, err := m.Containers(whole); err != nil || len(list) != 100 {
					b.Fatal(len(list), err)
				}
			}
		})
	}
}
