package metrics

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"towline/daemon"
	"towline/daemon/history"
	"towline/daemon/store"
	"towline/proxy/sketch"
)

// bench is a room, and all that it asks.
type bench struct {
	*Metrics
	t    *testing.T
	db   *store.Store
	path string
	said *buffer

	mu         sync.Mutex
	containers []daemon.Container
	readings   []daemon.Reading
	host       daemon.Reading
	listed     int
	away       error // of Podman
	logged     []string
	reports    chan daemon.TrafficReport
	proxyAway  error
	asked      []string // marks
}

type buffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// began0 is before everything: the time of a bubble of synctest begins in 2000.
var began0 = time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)

var began = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// newBench has an app shop with a Redis, whose web process is container web.
func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	key, err := store.LoadKey(filepath.Join(dir, "key"))
	must(t, err)
	db, err := store.Open(t.Context(), filepath.Join(dir, "towline.db"), key)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	must(t, db.Update(t.Context(), func(tx daemon.Tx) error {
		return errors.Join(
			tx.InsertApp(daemon.App{Name: "shop", Handle: "shop", Created: began}),
			tx.InsertAddon(daemon.Addon{Name: "redis-shop", App: "shop", Created: began}),
			tx.InsertAttachment(daemon.AddonAttachment{Addon: "redis-shop", App: "shop"}))
	}))
	b := &bench{t: t, db: db, path: filepath.Join(dir, "metrics.db"), said: &buffer{}, reports: make(chan daemon.TrafficReport)}
	b.again()
	return b
}

// again is the daemon after a kill.
func (b *bench) again() {
	log := slog.New(slog.NewTextHandler(b.said, nil))
	if b.Metrics != nil {
		_ = b.History.(*history.History).Close()
	}
	h := history.New(b.path, log)
	b.t.Cleanup(func() { _ = h.Close() })
	b.Metrics = New(Options{Name: "towline", Store: b.db, Engine: engine{b}, Traffic: counter{b}, Logs: logs{b: b}, Meters: meters{b}, History: h, Log: log})
}

type engine struct{ b *bench }

func (e engine) ContainerList(context.Context, map[string]string) ([]daemon.Container, error) {
	e.b.mu.Lock()
	defer e.b.mu.Unlock()
	e.b.listed++
	return e.b.containers, e.b.away
}

func (e engine) Container(_ context.Context, id string) (daemon.Container, error) {
	e.b.mu.Lock()
	defer e.b.mu.Unlock()
	e.b.listed++
	if e.b.away != nil {
		return daemon.Container{}, e.b.away
	}
	for _, c := range e.b.containers {
		if c.ID == id {
			return c, nil
		}
	}
	return daemon.Container{}, daemon.Errorf(daemon.NotFound, "there is no %s", id)
}

type meters struct{ b *bench }

func (m meters) Containers(whole bool) ([]daemon.Reading, error) {
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	return slices.Clone(m.b.readings), nil
}

func (m meters) Host() (daemon.Reading, error) {
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	return m.b.host, nil
}

type logs struct {
	daemon.Logs
	b *bench
}

func (l logs) Write(app, source, process, line string) {
	l.b.logged = append(l.b.logged, app+" "+source+" "+process+": "+line)
}

type counter struct{ b *bench }

func (c counter) Traffic(ctx context.Context, mark string, wait time.Duration) (daemon.TrafficReport, error) {
	c.b.mu.Lock()
	c.b.asked = append(c.b.asked, mark)
	away := c.b.proxyAway
	c.b.mu.Unlock()
	if away != nil {
		return daemon.TrafficReport{}, away
	}
	select {
	case r := <-c.b.reports:
		return r, nil
	case <-time.After(wait):
		return daemon.TrafficReport{Mark: mark}, nil
	case <-ctx.Done():
		return daemon.TrafficReport{}, ctx.Err()
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// runs has a container run, of that process type or of the add-on.
func (b *bench) runs(id, kind, of string, r daemon.Reading) {
	b.mu.Lock()
	defer b.mu.Unlock()
	labels := map[string]string{daemon.LabelKind: kind, daemon.LabelApp: "shop", daemon.LabelProcess: of}
	if kind == daemon.KindAddon {
		labels = map[string]string{daemon.LabelKind: kind, daemon.LabelAddon: of}
	}
	labels[installation] = "towline"
	b.containers = append(b.containers, daemon.Container{ID: id, Name: "towline-shop." + of + ".1.v2.7", Labels: labels, Running: true})
	r.ID = id
	b.readings = append(b.readings, r)
}

func (b *bench) set(id string, r daemon.Reading) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r.ID = id
	for i := range b.readings {
		if b.readings[i].ID == id {
			b.readings[i] = r
		}
	}
}

// subjectOf is that of the app or add-on that the bench has.
func shopKey(process string) Key { return Key{"shop@" + stamp(began), process} }
func redisKey() Key              { return Key{"+redis-shop@" + stamp(began), ""} }

// of is a point with these numbers.
func of(n map[field]uint64) *Point {
	p := &Point{}
	for f, v := range n {
		p.n[f] = v
	}
	return p
}

func TestAdding(t *testing.T) {
	a := of(map[field]uint64{samples: 1, memory: 100, memoryMax: 100, status2: 3, webSockets: 5, cpu: 10})
	a.took = sketch.Sketch{{Bucket: 3, N: 3}}
	c := of(map[field]uint64{samples: 2, memory: 600, memoryMax: 400, status2: 4, webSockets: 2, cpu: 1})
	c.took = sketch.Sketch{{Bucket: 2, N: 1}, {Bucket: 3, N: 3}}
	a.add(c)
	want := of(map[field]uint64{samples: 3, memory: 700, memoryMax: 400, status2: 7, webSockets: 5, cpu: 11})
	want.took = sketch.Sketch{{Bucket: 2, N: 1}, {Bucket: 3, N: 6}}
	if !reflect.DeepEqual(a, want) {
		t.Errorf("got %+v", a)
	}
}

// busy is a frame of many apps with traffic as it comes.
func busy(start time.Time, apps int, r *rand.Rand) *Frame {
	f := newFrame(start)
	f.Covered = time.Minute
	for i := range apps {
		name := "app-" + string(rune('a'+i)) + "@" + stamp(began.Add(time.Duration(i)*time.Hour))
		p := f.at(Key{name, "web"})
		for range 400 {
			p.n[status2]++
			s := sketch.Sketch{{Bucket: sketch.Bucket(time.Duration(20e6 * (0.5 + r.ExpFloat64()))), N: 1}}
			p.took = p.took.Add(s)
			p.first = p.first.Add(s)
		}
		for _, process := range []string{"web", "worker"} {
			p := f.at(Key{name, process})
			for field := samples; field < status0; field++ {
				p.n[field] = uint64(r.IntN(1 << 18))
			}
		}
		addon := f.at(Key{"+redis-" + name, ""})
		for field := samples; field < status0; field++ {
			addon.n[field] = uint64(r.IntN(1 << 18))
		}
	}
	return f
}

func TestEncoding(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, f := range []*Frame{newFrame(began), busy(began, 5, r)} {
		f.Points[Key{"", ""}] = &Point{}
		data, err := unpack(pack(f.encode(exact)))
		must(t, err)
		got, err := decode(f.Start, data, nil)
		if err != nil || !reflect.DeepEqual(got, f) {
			t.Errorf("got %+v, %v; want %+v", got, err, f)
		}
		some, err := decode(f.Start, data, func(k Key) bool { return k.Process == "worker" })
		if err != nil || len(some.Points) != len(f.Points)/3 {
			t.Errorf("%d of %d points, %v", len(some.Points), len(f.Points), err)
		}
		for i := range data { // cut short anywhere, it is damaged, and nothing else
			if _, err := decode(f.Start, data[:i], nil); err == nil && i < len(data) && len(f.Points) > 1 {
				t.Errorf("the first %d bytes are whole", i)
			}
		}
	}
	for _, rubbish := range [][]byte{nil, {}, {99}, {version}, {version, 3, 2, 3}} {
		if data, err := unpack(rubbish); err == nil && len(data) > 0 {
			t.Errorf("%v is %v", rubbish, data)
		}
	}
}

// What is thin is a little off, and counts are not.
func TestThin(t *testing.T) {
	f := busy(began, 3, rand.New(rand.NewPCG(3, 4)))
	got, err := decode(f.Start, f.encode(thin), nil)
	must(t, err)
	for k, p := range f.Points {
		for i, n := range p.n {
			off := math.Abs(float64(got.Points[k].n[i])-float64(n)) / max(1, float64(n))
			if off > 0.004 || off > 0 && field(i).isCount() {
				t.Errorf("%v: %d is kept as %d", k, n, got.Points[k].n[i])
			}
		}
		if want, has := p.took.Quantile(0.95), got.Points[k].took.Quantile(0.95); math.Abs(float64(want-has)) > 0.1*float64(want) || got.Points[k].took.Total() != p.took.Total() {
			t.Errorf("%v: p95 of %s is kept as %s", k, want, has)
		}
	}
	least, err := decode(f.Start, f.encode(thinnest), nil)
	must(t, err)
	for k, p := range got.Points {
		if p.first = nil; !reflect.DeepEqual(least.Points[k], p) {
			t.Errorf("%v: without first bytes it is %+v, want %+v", k, least.Points[k], p)
		}
	}
	if data := f.encode(thin); len(data) >= len(f.encode(exact)) {
		t.Error("thin is no shorter")
	}
	for _, n := range []uint64{0, 1, 255, 256, 511, 512, 1<<16 - 1, 1<<64 - 1} {
		shift, most := rounded(n)
		if back := float64(most) * math.Pow(2, float64(shift)); math.Abs(back-float64(n)) > 0.004*float64(n) {
			t.Errorf("%d is rounded to %g", n, back)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(busy(began, 2, rand.New(rand.NewPCG(1, 2))).encode(exact))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := decode(began, data, nil)
		if err != nil {
			return
		}
		again, err := decode(began, got.encode(exact), nil)
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Errorf("%+v, %v; %+v", got, err, again)
		}
	})
}

// run measures for that long, and ends as the daemon does.
func (b *bench) run(f func()) {
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan struct{})
	go func() { b.Run(ctx); close(done) }()
	f()
	cancel()
	<-done
}

// kept are all frames of a level.
func (b *bench) kept(level int) []*Frame {
	b.t.Helper()
	list, err := b.frames(context.Background(), level, began0, time.Now().Add(time.Hour), nil)
	must(b.t, err)
	return list
}

func sum(list []*Frame, k Key) *Point {
	p := &Point{}
	for _, f := range list {
		if f.Points[k] != nil {
			p.add(f.Points[k])
		}
	}
	return p
}

// What runs is measured, what was used before the daemon's start is not, and what begins and ends is
// counted from its beginning.
func TestContainersAreMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		old := daemon.Reading{CPU: time.Hour, Memory: 100 << 20, Limit: 512 << 20, Written: 1 << 40, OOMKills: 7}
		b.runs("web", daemon.KindProcess, "web", old)
		b.runs("redis", daemon.KindAddon, "redis-shop", daemon.Reading{Memory: 50 << 20})
		b.readings = append(b.readings, daemon.Reading{ID: "foreign", Memory: 1 << 40})
		b.runs("another", daemon.KindProcess, "web", daemon.Reading{Memory: 1 << 40}) // of another installation
		b.containers[2].Labels[installation] = "another"
		b.run(func() {
			time.Sleep(25 * time.Second)
			old.CPU += 5 * time.Second
			old.Memory, old.Written, old.OOMKills = 300<<20, 1<<40+1000, 8
			b.set("web", old)
			b.runs("one-off", daemon.KindRun, "", daemon.Reading{CPU: 2 * time.Second, Memory: 1 << 20})
			b.runs("worker", daemon.KindProcess, "worker", daemon.Reading{CPU: time.Second, Memory: 2 << 20})
			b.runs("worker2", daemon.KindProcess, "worker", daemon.Reading{CPU: time.Second, Memory: 4 << 20})
			time.Sleep(80 * time.Second)
		})
		if b.listed != 7 { // for each container once
			t.Errorf("Podman was asked %d times", b.listed)
		}
		list := b.kept(0)
		p := sum(list, shopKey("web"))
		if p.n[cpu] != 5e6 || p.n[memoryMax] != 300<<10 || p.n[limit] != 512<<10 || p.n[diskWrite] != 1000 || p.n[oomKills] != 1 || p.n[instances] != 1 {
			t.Errorf("web: %+v", p.n)
		}
		if p := sum(list, shopKey("run")); p.n[cpu] != 2e6 {
			t.Errorf("run: %+v", p.n)
		}
		if p := sum(list, shopKey("worker")); p.n[cpu] != 2e6 || p.n[instances] != 2 || p.n[memoryMax] != 6<<10 {
			t.Errorf("worker: %+v", p.n)
		}
		if p := sum(list, redisKey()); p.n[memory]/p.n[samples] != 50<<10 {
			t.Errorf("redis: %+v", p.n)
		}
		covered := time.Duration(0)
		for _, f := range list {
			covered += f.Covered
			for k := range f.Points {
				if k.Subject == "" && k != host || k.Subject == "foreign" {
					t.Errorf("measured is %v", k)
				}
			}
		}
		if covered < 95*time.Second || covered > 106*time.Second {
			t.Errorf("%s were covered", covered)
		}
	})
}

// With Podman away what is known goes on, and what is new is counted once it is known.
func TestPodmanAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.runs("web", daemon.KindProcess, "web", daemon.Reading{Memory: 1 << 20})
		b.run(func() {
			time.Sleep(15 * time.Second)
			b.mu.Lock()
			b.away = errors.New("away")
			b.mu.Unlock()
			b.runs("worker", daemon.KindProcess, "worker", daemon.Reading{CPU: 3 * time.Second, Memory: 1 << 20})
			b.set("web", daemon.Reading{CPU: time.Second, Memory: 1 << 20})
			time.Sleep(30 * time.Second)
			b.set("worker", daemon.Reading{CPU: 5 * time.Second, Memory: 1 << 20})
			b.mu.Lock()
			b.away = nil
			b.mu.Unlock()
			time.Sleep(30 * time.Second)
		})
		if p := sum(b.kept(0), shopKey("web")); p.n[cpu] != 1e6 {
			t.Errorf("web: %+v", p.n)
		}
		if p := sum(b.kept(0), shopKey("worker")); p.n[cpu] != 5e6 {
			t.Errorf("worker: %+v", p.n)
		}
	})
}

func TestQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		near := func(percent int64) daemon.Reading {
			return daemon.Reading{Memory: percent << 20, Limit: 100 << 20}
		}
		b.runs("web", daemon.KindProcess, "web", near(50))
		b.runs("worker", daemon.KindProcess, "worker", daemon.Reading{Memory: 1 << 40}) // without a limit
		b.runs("redis", daemon.KindAddon, "redis-shop", near(99))
		b.run(func() {
			for _, percent := range []int64{50, 96, 99, 90, 96, 80, 94, 97} {
				b.set("web", near(percent))
				time.Sleep(20 * time.Second)
			}
		})
		want := []string{
			"shop system web.1: Process running mem=96M(96.0%)", "shop system web.1: Error R14 (Memory quota exceeded)",
			"shop system web.1: Process running mem=97M(97.0%)", "shop system web.1: Error R14 (Memory quota exceeded)",
		}
		if !slices.Equal(b.logged, want) {
			t.Errorf("got %q", b.logged)
		}
	})
}

func traffic(began string, ok, failed int64, took ...uint32) daemon.Traffic {
	return daemon.Traffic{App: "shop", Began: began, Status: [6]int64{2: ok, 5: failed}, In: ok, Out: 10 * ok, Took: took, First: took}
}

func TestTrafficIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		report := func(mark string, apps ...daemon.Traffic) {
			b.reports <- daemon.TrafficReport{Mark: mark, Apps: apps}
			synctest.Wait()
		}
		page := daemon.Traffic{App: "addon-redis-shop", Began: "p", Status: [6]int64{2: 1}}
		b.run(func() {
			report("1", traffic("a", 100, 1, 5, 101)) // from before the daemon's start
			report("2", traffic("a", 104, 1, 4, 1, 5, 104), page)
			report("3", traffic("a", 104, 3, 4, 1, 5, 106), page)
			report("4", traffic("b", 2, 0, 5, 2), page) // the proxy was started again
			fresh := traffic("c", 7, 0, 5, 7)
			fresh.App = "fresh"
			must(t, b.db.Update(t.Context(), func(tx daemon.Tx) error {
				return tx.InsertApp(daemon.App{Name: "renamed", Handle: "fresh", Created: began})
			}))
			sockets := traffic("b", 2, 0, 5, 2)
			sockets.WebSockets = 3
			report("5", sockets, fresh)
			time.Sleep(40 * time.Second) // they stay open, and nothing is counted
		})
		list := b.kept(0)
		p := sum(list, shopKey("web"))
		if p.n[status2] != 6 || p.n[status5] != 2 || p.n[bytesIn] != 6 || p.n[bytesOut] != 60 || p.n[webSockets] != 3 {
			t.Errorf("counted: %+v", p.n)
		}
		if want := (sketch.Sketch{{Bucket: 4, N: 1}, {Bucket: 5, N: 7}}); !reflect.DeepEqual(p.took, want) || !reflect.DeepEqual(p.first, want) {
			t.Errorf("durations: %v, %v", p.took, p.first)
		}
		if p := sum(list, Key{"fresh@" + stamp(began), "web"}); p.n[status2] != 7 {
			t.Errorf("of an app that is new: %+v", p.n)
		}
		if last := list[len(list)-1]; last.Points[shopKey("web")].n[webSockets] != 3 {
			t.Error("open WebSockets were forgotten")
		}
		if want := []string{"", "1", "2", "3", "4", "5"}; !slices.Equal(b.asked[:6], want) {
			t.Errorf("the proxy was asked with %q", b.asked)
		}
	})
}

// A proxy that is away, or says nothing, is asked again; it is said once.
func TestProxyAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.proxyAway = errors.New("away")
		b.run(func() {
			time.Sleep(time.Minute)
			b.mu.Lock()
			b.proxyAway = nil
			tries := len(b.asked)
			b.mu.Unlock()
			if tries < 5 || tries > 8 {
				t.Errorf("it was asked %d times in a minute", tries)
			}
			time.Sleep(3 * trafficWait) // and then hangs
			b.reports <- daemon.TrafficReport{Mark: "1", Apps: []daemon.Traffic{traffic("a", 1, 0)}}
			b.reports <- daemon.TrafficReport{Mark: "2", Apps: []daemon.Traffic{traffic("a", 3, 0)}}
			time.Sleep(time.Second)
		})
		if p := sum(b.kept(0), shopKey("web")); p.n[status2] != 2 {
			t.Errorf("counted: %+v", p.n)
		}
		if n := strings.Count(b.said.String(), "no requests are counted"); n != 1 || !strings.Contains(b.said.String(), "counted again") {
			t.Errorf("said: %s", b.said)
		}
	})
}

func TestGrown(t *testing.T) {
	for _, tc := range []struct {
		then, now []uint32
		want      sketch.Sketch
	}{
		{nil, nil, nil},
		{nil, []uint32{3, 4}, sketch.Sketch{{Bucket: 3, N: 4}}},
		{[]uint32{3, 4}, []uint32{3, 4}, nil},
		{[]uint32{3, 1<<32 - 2}, []uint32{3, 5}, sketch.Sketch{{Bucket: 3, N: 7}}}, // it went round
		{[]uint32{1, 1, 5, 1}, []uint32{1, 1, 3, 2, 5, 3}, sketch.Sketch{{Bucket: 3, N: 2}, {Bucket: 5, N: 2}}},
		{nil, []uint32{9, 1, 3, 1, 1 << 20, 1, 7}, sketch.Sketch{{Bucket: 9, N: 1}}}, // rubbish
	} {
		if got := grown(tc.then, tc.now); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%v to %v: %v, want %v", tc.then, tc.now, got, tc.want)
		}
	}
}

// The longer levels have what the minutes had, though the daemon is killed in between, and each is
// kept for its time.
func TestLevels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.Traffic = nil
		b.History = &notes{}
		reading := daemon.Reading{Memory: 1 << 20}
		b.runs("web", daemon.KindProcess, "web", reading)
		hours := 52
		var used time.Duration
		for range hours {
			for range 60 {
				time.Sleep(time.Minute)
				used += time.Second
				reading.CPU = used
				b.set("web", reading)
				b.tick(t.Context(), time.Now())
			}
			b.Metrics = New(b.Options) // killed; it loses what was used since the last reading, and the minute
		}
		for level, want := range map[int][2]int{0: {48 * 60, 50 * 60}, 1: {hours*6 - 1, hours*6 + 1}, 2: {hours - 1, hours + 1}} {
			list := b.kept(level)
			if len(list) < want[0] || len(list) > want[1] {
				t.Errorf("level %d has %d frames, want %v", level, len(list), want)
			}
			for i, f := range list {
				// Where the daemon was killed a minute is missing.
				if i > 0 && f.Start.Sub(list[i-1].Start) != levels[level].step && !(level == 0 && f.Start.Sub(list[i-1].Start) <= 3*time.Minute) {
					t.Errorf("level %d: %s after %s", level, f.Start, list[i-1].Start)
				}
			}
			if level > 0 {
				if p := sum(list, shopKey("web")); p.n[cpu] < uint64(hours-2)*59e6 || p.n[cpu] > uint64(hours)*60e6 {
					t.Errorf("level %d: %d s of %s", level, p.n[cpu]/1e6, used)
				}
			}
		}
		// All that is asked for comes from the longest level that fits, and the newest from the others.
		r, err := b.Of(t.Context(), Query{App: "shop", Since: time.Now().Add(-50 * time.Hour)})
		must(t, err)
		if r.Step != 10*time.Minute || len(r.Series) == 0 {
			t.Fatalf("%+v", r)
		}
		for _, s := range r.Series {
			if s.Name == "cpu" && (len(s.Points) < 50*6-2 || s.Whole < 4.5 || s.Whole > 5.5) {
				t.Errorf("%d points, %g %%", len(s.Points), s.Whole)
			}
		}
	})
}

// While the daemon is away nothing is measured, and a chart has a gap; what was measured keeps its
// rate.
func TestGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.Traffic = nil
		b.runs("web", daemon.KindProcess, "web", daemon.Reading{Memory: 1 << 20})
		b.run(func() { time.Sleep(10 * time.Minute) })
		time.Sleep(30 * time.Minute)
		b.again()
		b.run(func() { time.Sleep(10 * time.Minute) })
		r, err := b.Of(t.Context(), Query{App: "shop", Since: time.Now().Add(-50 * time.Minute)})
		must(t, err)
		for _, s := range r.Series {
			if s.Name == "memory" && (len(s.Points) < 20 || len(s.Points) > 23 || s.Whole != 1<<20) {
				t.Errorf("%d points, %g", len(s.Points), s.Whole)
			}
		}
	})
}

// A clock that is set back adds to the minute that is there, and one that is set forward leaves a gap.
func TestClockThatJumps(t *testing.T) {
	b := newBench(t)
	b.runs("web", daemon.KindProcess, "web", daemon.Reading{Memory: 1 << 20})
	at := began
	step := func(d time.Duration) {
		at = at.Add(d)
		b.tick(t.Context(), at)
	}
	for range 12 {
		step(10 * time.Second)
	}
	for _, d := range []time.Duration{-90 * time.Second, 3 * time.Hour, -24 * time.Hour} {
		step(d)
		for range 12 {
			step(10 * time.Second)
		}
	}
	list := b.kept(0)
	total := time.Duration(0)
	seen := map[time.Time]bool{}
	for _, f := range list {
		if seen[f.Start] || f.Covered < 0 || f.Covered > 3*time.Minute {
			t.Errorf("%s covers %s", f.Start, f.Covered)
		}
		seen[f.Start] = true
		total += f.Covered
	}
	if total < 5*time.Minute || total > 10*time.Minute {
		t.Errorf("%s are covered in all", total)
	}
}

// Where nothing can be kept that is said once, and what is in memory is shown.
func TestHistoryFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.Traffic, b.History = nil, broken{}
		b.runs("web", daemon.KindProcess, "web", daemon.Reading{Memory: 1 << 20})
		b.run(func() {
			time.Sleep(5 * time.Minute)
			r, err := b.Of(t.Context(), Query{App: "shop", Since: time.Now().Add(-5 * time.Minute)})
			if err != nil || len(r.Series) == 0 || r.Step != liveStep {
				t.Errorf("%+v, %v", r, err)
			}
			if _, err := b.Of(t.Context(), Query{App: "shop", Since: time.Now().Add(-2 * time.Hour)}); err == nil {
				t.Error("what can't be read is told as if it were all")
			}
		})
		if n := strings.Count(b.said.String(), "are not kept"); n != 1 {
			t.Errorf("said: %s", b.said)
		}
	})
}

// notes is a daemon.History in memory: many minutes would take the real one seconds.
type notes [3]map[int64][]byte

func (n *notes) Put(_ context.Context, level int, at time.Time, data []byte) error {
	if n[level] == nil {
		n[level] = map[int64][]byte{}
	}
	n[level][at.Unix()] = data
	return nil
}

func (n *notes) Get(_ context.Context, level int, from, to time.Time) (list []daemon.Measured, err error) {
	for at := from.Truncate(time.Minute); at.Before(to); at = at.Add(time.Minute) {
		if data, ok := n[level][at.Unix()]; ok && !at.Before(from) {
			list = append(list, daemon.Measured{Time: at, Data: data})
		}
	}
	return list, nil
}

func (n *notes) Newest(_ context.Context, level int) (newest time.Time, err error) {
	for at := range n[level] {
		if t := time.Unix(at, 0).UTC(); t.After(newest) {
			newest = t
		}
	}
	return newest, nil
}

func (n *notes) Forget(_ context.Context, level int, before time.Time) error {
	for at := range n[level] {
		if at < before.Unix() {
			delete(n[level], at)
		}
	}
	return nil
}

type broken struct{}

func (broken) Put(context.Context, int, time.Time, []byte) error { return errors.New("no space") }
func (broken) Get(context.Context, int, time.Time, time.Time) ([]daemon.Measured, error) {
	return nil, errors.New("no space")
}
func (broken) Newest(context.Context, int) (time.Time, error) {
	return time.Time{}, errors.New("no space")
}
func (broken) Forget(context.Context, int, time.Time) error { return errors.New("no space") }

// Deaths are counted once, whether the kernel's files tell of them too or are gone.
func TestDeaths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.Traffic = nil
		must(t, b.db.Update(t.Context(), func(tx daemon.Tx) error { return tx.RenameApp("shop", "store") }))
		b.runs("web", daemon.KindProcess, "web", daemon.Reading{OOMKills: 3})
		event := func(app, process string) daemon.Event {
			return daemon.Event{Container: "towline-shop." + process + ".1.v2.7", Labels: map[string]string{daemon.LabelKind: daemon.KindProcess, daemon.LabelApp: app, daemon.LabelProcess: process}}
		}
		b.run(func() {
			b.Crashed(event("store", "release")) // before anything was measured
			time.Sleep(15 * time.Second)
			b.OutOfMemory(event("store", "web"))
			b.OutOfMemory(event("store", "worker")) // whose files are gone
			b.Crashed(event("store", "worker"))
			b.Crashed(event("another", "web"))
			b.set("web", daemon.Reading{OOMKills: 5}) // that, and one more
			time.Sleep(130 * time.Second)
		})
		web, worker := sum(b.kept(0), shopKey("web")), sum(b.kept(0), shopKey("worker"))
		if early := sum(b.kept(0), shopKey("release")); early.n[crashes] != 1 {
			t.Error("a death of before the first reading was lost")
		}
		if web.n[oomKills] != 2 || web.n[crashes] != 0 || worker.n[oomKills] != 1 || worker.n[crashes] != 1 {
			t.Errorf("web: %d killed, %d crashed; worker: %d, %d", web.n[oomKills], web.n[crashes], worker.n[oomKills], worker.n[crashes])
		}
	})
	New(Options{}).Crashed(daemon.Event{}) // where nothing is measured
}

// Nobody sees what an earlier app of the name did, and a renamed app keeps its own.
func TestAnotherAppOfTheName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.Traffic = nil
		b.runs("web", daemon.KindProcess, "web", daemon.Reading{Memory: 1 << 20})
		b.run(func() { time.Sleep(90 * time.Second) })
		must(t, b.db.Update(t.Context(), func(tx daemon.Tx) error { return tx.RenameApp("shop", "store") }))
		query := func(app string) int {
			r, err := b.Of(t.Context(), Query{App: app, Since: time.Now().Add(-time.Hour)})
			must(t, err)
			return len(r.Series)
		}
		if query("store") == 0 {
			t.Error("a renamed app has lost its measurements")
		}
		must(t, b.db.Update(t.Context(), func(tx daemon.Tx) error {
			return errors.Join(tx.DeleteAddon("redis-shop"), tx.DeleteApp("store"), tx.InsertApp(daemon.App{Name: "store", Handle: "shop", Created: time.Now()}))
		}))
		if query("store") != 0 {
			t.Error("a later app shows what an earlier one did")
		}
		if _, err := b.Of(t.Context(), Query{App: "none", Since: time.Now().Add(-time.Hour)}); !daemon.IsKind(err, daemon.NotFound) {
			t.Error(err)
		}
		if _, err := b.Of(t.Context(), Query{App: "store", Since: time.Now().Add(time.Hour)}); !daemon.IsKind(err, daemon.Invalid) {
			t.Error(err)
		}
	})
}

func TestSeries(t *testing.T) {
	shop := shopKey("web")
	subjects := map[string]subject{shop.Subject: {name: "shop"}, redisKey().Subject: {"redis-shop", true}}
	f := newFrame(began)
	f.Covered = 10 * time.Second
	p := f.at(shop)
	p.n[status2], p.n[status5], p.n[status0] = 50, 20, 10
	p.n[samples], p.n[memory], p.n[limit], p.n[cpu] = 2, 2*1024, 4*1024, 5e6
	p.took = sketch.Sketch{{Bucket: sketch.Bucket(time.Millisecond), N: 99}, {Bucket: sketch.Bucket(time.Second), N: 1}}
	later := newFrame(began.Add(10 * time.Second))
	later.Covered = 10 * time.Second
	later.at(shop).n[samples] = 1
	f.at(redisKey()).n[samples] = 1
	got := map[string]Series{}
	for _, s := range seriesOf([]*Frame{f, later}, subjects, time.Minute) {
		got[s.Of+" "+s.Name] = s
	}
	for name, want := range map[string][3]float64{ // most, now, whole
		"web requests": {8, 0, 4}, "web errors": {3, 0, 1.5}, "web cpu": {50, 0, 25}, "web memory": {1 << 20, 0, 699050.667},
	} {
		if s := got[name]; s.Most != want[0] || s.Now != want[1] || s.Whole != want[2] || len(s.Points) != 2 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if s := got["web memory"]; s.Limit != 4<<20 {
		t.Errorf("limit %g", s.Limit)
	}
	if s := got["web response_p99"]; len(s.Points) != 1 || s.Whole < 0.95 || s.Whole > 1.05 {
		t.Errorf("p99: %+v", s)
	}
	if s := got["web response_max"]; s.Whole < 960 || s.Whole > 1040 {
		t.Errorf("max: %+v", s)
	}
	if s, ok := got["redis-shop memory"]; !ok || !s.Addon {
		t.Errorf("add-on: %+v", s)
	}
	if _, ok := got["redis-shop requests"]; ok {
		t.Error("an add-on has requests")
	}
}
