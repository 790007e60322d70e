package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/cgroup"
	"towline/daemon/history"
	"towline/proxy/sketch"
)

// What 20 apps may cost: each has web, worker and a Redis, and visitors at all hours.
const (
	budgetApps   = 20
	budgetDisk   = 50_000_000
	budgetMemory = 3_000_000
	budgetCPU    = 0.5 // per cent of a core
)

// visited is a frame of apps with n requests each, whose durations are spread over two decades.
func visited(start time.Time, n int, r *rand.Rand) *Frame {
	f := newFrame(start)
	f.Covered = time.Minute
	for i := range budgetApps {
		name := fmt.Sprintf("app-%d@%s", i, stamp(began.Add(time.Duration(i)*time.Hour)))
		var counts [2][sketch.Buckets]uint64
		p := f.at(Key{name, web})
		for range n {
			first := time.Duration(float64(time.Duration(5+i)*time.Millisecond) * (0.3 + r.ExpFloat64()))
			counts[0][sketch.Bucket(first)]++
			counts[1][sketch.Bucket(first+time.Duration(r.IntN(3000))*time.Microsecond)]++
		}
		p.first, p.took = filled(counts[0]), filled(counts[1])
		p.n[status2], p.n[status3], p.n[status4], p.n[status5] = uint64(n), uint64(r.IntN(50)), uint64(r.IntN(20)), uint64(r.IntN(2))
		p.n[bytesIn], p.n[bytesOut], p.n[webSockets] = uint64(r.IntN(n*1000)), uint64(r.IntN(n*20_000)), uint64(r.IntN(10))
		for _, k := range []Key{{name, web}, {name, "worker"}, {"+redis-" + name, ""}} {
			f.at(k).add(of(map[field]uint64{
				samples: 6, instances: 2, cpu: uint64(r.IntN(10e6)), memory: 6*200<<10 + uint64(r.IntN(60<<10)), memoryMax: 200<<10 + uint64(r.IntN(60<<10)),
				peak: 300 << 10, limit: 512 << 10, pids: uint64(20 + r.IntN(4)), diskWrite: uint64(r.IntN(1 << 20)), cpuPressure: uint64(r.IntN(50_000)), ioPressure: uint64(r.IntN(9_000)),
			}))
		}
	}
	return f
}

func filled(counts [sketch.Buckets]uint64) (s sketch.Sketch) {
	for b, n := range counts {
		if n > 0 {
			s = append(s, sketch.Count{Bucket: b, N: n})
		}
	}
	return s
}

// BenchmarkBudget tells what 20 apps cost once everything was measured for 400 days: disk, memory, and the
// processor's time for it. `make bench-metrics` runs it.
func BenchmarkBudget(b *testing.B) {
	for b.Loop() {
		disk := budgetOfDisk(b)
		b.ReportMetric(float64(disk)/1e6, "MB-disk")
		memory, percent := budgetOfTime(b)
		b.ReportMetric(float64(memory)/1e6, "MB-memory")
		b.ReportMetric(percent, "%core")
		if disk > budgetDisk || memory > budgetMemory || percent > budgetCPU {
			b.Errorf("over budget: %d of %d bytes of disk, %d of %d of memory, %.3f of %g %%", disk, budgetDisk, memory, budgetMemory, percent, budgetCPU)
		}
	}
}

// budgetOfDisk is what all that is kept takes on disk. Each hundredth frame is made, and put as often.
func budgetOfDisk(b *testing.B) (bytes int64) {
	dir := b.TempDir()
	h := history.New(filepath.Join(dir, "metrics.db"), slog.New(slog.DiscardHandler))
	r := rand.New(rand.NewPCG(1, 2))
	for i, l := range levels {
		var data [][]byte
		for range 20 {
			data = append(data, pack(visited(began, min(200*int(l.step/time.Minute), 5000), r).encode(l.how)))
		}
		b.Logf("a frame of %s is %d bytes", l.step, len(data[0]))
		for n := range int(l.kept / l.step) {
			if err := h.Put(context.Background(), i, began.Add(time.Duration(n)*l.step), data[n%len(data)]); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := h.Close(); err != nil {
		b.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range files {
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		bytes += info.Size()
	}
	return bytes
}

// budgetOfTime measures an hour of the clock without its waiting: reading 60 containers, counting
// 20 apps' requests, keeping and rolling up. It returns what is held at its end, and per cent of a core.
func budgetOfTime(tb *testing.B) (memory int64, percent float64) {
	dir := tb.TempDir()
	for n := range 3 * budgetApps {
		group := filepath.Join(dir, "cgroup", "libpod_parent", "libpod-"+fmt.Sprintf("%064x", n))
		if err := os.MkdirAll(group, 0o755); err != nil {
			tb.Fatal(err)
		}
		for name, text := range map[string]string{
			"memory.current": "3000000\n", "memory.stat": strings.Repeat("some_other_thing 123456789\n", 40) + "inactive_file 1000000\n", "memory.max": "536870912\n", "memory.swap.current": "0\n", "memory.peak": "5000000\n",
			"memory.events": "low 0\nhigh 0\nmax 7\noom 2\noom_kill 0\n", "pids.current": "12\n", "cpu.stat": "usage_usec 2500000\nthrottled_usec 7000\n", "io.stat": "8:0 rbytes=100 wbytes=200\n",
			"cpu.pressure": "some total=1000\n", "memory.pressure": "some total=1000\n", "io.pressure": "some total=1000\n",
		} {
			if err := os.WriteFile(filepath.Join(group, name), []byte(text), 0o600); err != nil {
				tb.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup", "cgroup.controllers"), nil, 0o600); err != nil {
		tb.Fatal(err)
	}
	h := history.New(filepath.Join(dir, "metrics.db"), slog.New(slog.DiscardHandler))
	defer func() { _ = h.Close() }()
	engine := &many{}
	before := held()
	m := New(Options{Store: engine, Engine: engine, Logs: logs{}, Meters: cgroup.New(filepath.Join(dir, "cgroup"), "/proc"), History: h, Log: slog.New(slog.DiscardHandler)})
	report := daemon.TrafficReport{}
	for i := range budgetApps {
		t := daemon.Traffic{App: fmt.Sprintf("app-%d", i), Began: "1"}
		for bucket := 100; bucket < 200; bucket++ {
			t.Took, t.First = append(t.Took, uint32(bucket), 0), append(t.First, uint32(bucket), 0)
		}
		report.Apps = append(report.Apps, t)
	}
	start := spent(tb)
	const steps = 360
	for n := range steps {
		for i := range report.Apps {
			t := &report.Apps[i]
			t.Status[2] += 100
			for j := 1; j < len(t.Took); j += 2 {
				t.Took[j]++
				t.First[j]++
			}
		}
		next := daemon.TrafficReport{Mark: fmt.Sprint(n)}
		for _, t := range report.Apps {
			t.Took, t.First = append([]uint32(nil), t.Took...), append([]uint32(nil), t.First...)
			next.Apps = append(next.Apps, t)
		}
		m.takeTraffic(context.Background(), next, n == 0)
		m.tick(context.Background(), began.Add(time.Duration(n)*liveStep))
	}
	took := spent(tb) - start
	memory = held() - before
	runtime.KeepAlive(m)
	return memory, 100 * took.Seconds() / (steps * liveStep).Seconds()
}

// many are the apps of the budget, as store and engine.
type many struct{ daemon.Store }

func (*many) ContainerList(context.Context, map[string]string) (list []daemon.Container, err error) {
	for n := range 3 * budgetApps {
		app := fmt.Sprintf("app-%d", n/3)
		labels := map[string]string{daemon.LabelKind: daemon.KindProcess, daemon.LabelApp: app, daemon.LabelProcess: []string{web, "worker"}[n%2]}
		if n%3 == 2 {
			labels = map[string]string{daemon.LabelKind: daemon.KindAddon, daemon.LabelAddon: "redis-" + app}
		}
		list = append(list, daemon.Container{ID: fmt.Sprintf("%064x", n), Name: "towline-" + app + ".web.1.v2.3", Labels: labels})
	}
	return list, nil
}

func (*many) Container(context.Context, string) (daemon.Container, error) {
	panic("all are new at once")
}

func (s *many) View(_ context.Context, f func(daemon.Tx) error) error { return f(manyTx{}) }

type manyTx struct{ daemon.Tx }

func (manyTx) Apps() (list []daemon.App, err error) {
	for i := range budgetApps {
		list = append(list, daemon.App{Handle: fmt.Sprintf("app-%d", i), Created: began})
	}
	return list, nil
}

func (manyTx) Addons() (list []daemon.Addon, err error) {
	for i := range budgetApps {
		list = append(list, daemon.Addon{Name: fmt.Sprintf("redis-app-%d", i), Created: began})
	}
	return list, nil
}

// held is what is in use of the heap.
func held() int64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// spent is the processor's time of this program, the kernel's for it among that.
func spent(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
