package metrics

import (
	"context"
	"strings"
	"time"

	"towline/daemon"
)

// container is one that runs.
type container struct {
	known   bool // what it is of was found out; until then nothing of it is counted
	key     Key
	handle  string // of its app, for its log; empty: it has none
	process string // as users know it, like web.1
	name    string

	last, lastWhole daemon.Reading // that were counted
	over            bool           // it is near its limit of memory, which was said
}

// readings are those of one moment.
type readings struct {
	list    []daemon.Reading
	host    daemon.Reading
	hasHost bool
	whole   bool
}

func (m *Metrics) read(whole bool) readings {
	r := readings{whole: whole}
	var err error
	if r.list, err = m.Meters.Containers(whole); err != nil {
		m.Log.Debug("read what containers use", "err", err)
	}
	if whole {
		r.host, err = m.Meters.Host()
		r.hasHost = err == nil
	}
	return r
}

// listLimit is how long Podman may take to list the containers; it is asked again at the next step.
const listLimit = 10 * time.Second

// recognize finds out what the containers are of that were not there before, and forgets those that
// are gone. Podman is asked only if there are new ones.
func (m *Metrics) recognize(ctx context.Context, r readings) {
	there := make(map[string]bool, len(r.list))
	var unknown []string
	for _, reading := range r.list {
		there[reading.ID] = true
		c := m.containers[reading.ID]
		if c == nil {
			c = &container{}
			if m.ticked.IsZero() { // it may run for days already
				c.last, c.lastWhole = reading, reading
			}
			m.containers[reading.ID] = c
		}
		if !c.known {
			unknown = append(unknown, reading.ID)
		}
	}
	for id := range m.containers {
		if !there[id] {
			delete(m.containers, id)
		}
	}
	if len(unknown) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	if len(unknown) > lookedUp {
		list, err := m.Engine.ContainerList(ctx, nil)
		if err != nil {
			return
		}
		m.learn(ctx)
		for _, c := range list {
			m.is(c)
		}
		for _, id := range unknown {
			m.containers[id].known = true // it is of no app of this installation
		}
		return
	}
	learned := false
	for _, id := range unknown {
		c, err := m.Engine.Container(ctx, id)
		switch {
		case daemon.IsKind(err, daemon.NotFound), err == nil && c.Labels[installation] != m.Name:
			m.containers[id].known = true
		case err != nil:
			return
		default:
			if !learned {
				m.learn(ctx)
				learned = true
			}
			m.is(c)
		}
	}
}

// lookedUp is up to how many containers Podman is asked for one by one: to list them it reads the
// configuration of all that there are.
const lookedUp = 10

// installation is the label of every container that an installation made, with its name.
const installation = "towline"

// is says what a container that runs is.
func (m *Metrics) is(c daemon.Container) {
	at := m.containers[c.ID]
	if at == nil || at.known {
		return
	}
	m.mu.Lock()
	at.key, at.handle = m.names.keyOf(c.Labels)
	m.mu.Unlock()
	at.known, at.process, at.name = true, shortName(c.Name), c.Name
}

// shortName is a process as users know it: web.1.
func shortName(container string) string {
	_, rest, _ := strings.Cut(container, ".")
	parts := strings.Split(rest, ".")
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// names are what apps and add-ons are called here: an app that was destroyed does not come back as
// another of its name, and one that was renamed stays the same.
type names struct {
	apps   map[string]string // subjects by handle
	named  map[string]string // subjects by name
	addons map[string]string // subjects by name
}

func appSubject(a daemon.App) string {
	return a.Handle + "@" + stamp(a.Created)
}

func addonSubject(a daemon.Addon) string {
	return "+" + a.Name + "@" + stamp(a.Created)
}

// keyOf is the series that a container's use is counted in, and the handle of its app. The zero key:
// in none, but for the machine's.
func (n names) keyOf(labels map[string]string) (key Key, handle string) {
	handle = labels[daemon.LabelApp]
	switch kind := labels[daemon.LabelKind]; {
	case kind == daemon.KindAddon:
		return Key{Subject: n.addons[labels[daemon.LabelAddon]]}, ""
	case handle == "" || n.apps[handle] == "" || kind == daemon.KindProof:
		return Key{}, ""
	case kind == daemon.KindProcess:
		return Key{n.apps[handle], labels[daemon.LabelProcess]}, handle
	default: // run and release
		return Key{n.apps[handle], kind}, handle
	}
}

// learnEvery is how often names are read though nothing new is seen.
const learnEvery = 10 * time.Minute

// learn reads what apps and add-ons there are.
func (m *Metrics) learn(ctx context.Context) {
	n := names{apps: map[string]string{}, named: map[string]string{}, addons: map[string]string{}}
	err := m.Store.View(ctx, func(tx daemon.Tx) error {
		apps, err := tx.Apps()
		if err != nil {
			return err
		}
		addons, err := tx.Addons()
		for _, a := range apps {
			n.apps[a.Handle], n.named[a.Name] = appSubject(a), appSubject(a)
		}
		for _, a := range addons {
			n.addons[a.Name] = addonSubject(a)
		}
		return err
	})
	if err != nil {
		return // and again in a minute
	}
	m.mu.Lock()
	m.names, m.learned = n, time.Now()
	m.mu.Unlock()
}

// charge adds to the frame what was used since the readings before.
func (m *Metrics) charge(f *Frame, r readings) {
	sums := map[Key]*Point{}
	for _, reading := range r.list {
		c := m.containers[reading.ID]
		if c == nil || !c.known || c.key == (Key{}) {
			continue
		}
		p := sums[c.key]
		if p == nil {
			p = &Point{}
			sums[c.key] = p
		}
		use(p, c.last, reading)
		c.last = reading
		if r.whole {
			// The kernel's counter has those too that were told of.
			c.lastWhole.OOMKills += int64(m.killed[c.name])
			delete(m.killed, c.name)
			useWhole(p, c.lastWhole, reading)
			c.lastWhole = reading
		}
		m.watchQuota(c, reading)
	}
	if r.hasHost {
		p := &Point{}
		c := m.containers[""]
		if c == nil {
			c = &container{known: true, last: r.host, lastWhole: r.host}
			m.containers[""] = c
		}
		use(p, c.last, r.host)
		useWhole(p, c.lastWhole, r.host)
		c.last, c.lastWhole = r.host, r.host
		sums[host] = p
	}
	for k, p := range sums {
		p.n[samples], p.n[memoryMax] = 1, p.n[memory]
		f.at(k).add(p)
	}
}

// use adds what one process used since before, and has now.
func use(p *Point, before, now daemon.Reading) {
	p.n[instances]++
	p.n[cpu] += micros(now.CPU - before.CPU)
	p.n[throttled] += micros(now.Throttled - before.Throttled)
	p.n[memory] += kib(now.Memory)
	p.n[limit] += kib(now.Limit)
	p.n[swap] += kib(now.Swap)
}

func useWhole(p *Point, before, now daemon.Reading) {
	p.n[peak] = max(p.n[peak], kib(now.Peak))
	p.n[oomKills] += more(now.OOMKills, before.OOMKills)
	p.n[pids] += uint64(max(0, now.Pids))
	p.n[diskRead] += more(now.Read, before.Read)
	p.n[diskWrite] += more(now.Written, before.Written)
	p.n[cpuPressure] += micros(now.CPUPressure - before.CPUPressure)
	p.n[memoryPressure] += micros(now.MemoryPressure - before.MemoryPressure)
	p.n[ioPressure] += micros(now.IOPressure - before.IOPressure)
}

func micros(d time.Duration) uint64 { return uint64(max(0, d.Microseconds())) }

func kib(bytes int64) uint64 { return uint64(max(0, bytes)) >> 10 }

// more is by how much a counter has grown; one that began anew has grown by nothing that is known.
func more(now, before int64) uint64 { return uint64(max(0, now-before)) }
