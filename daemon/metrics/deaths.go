package metrics

import (
	"context"
	"time"

	"towline/daemon"
)

// Crashed counts a process that ended by itself, and should run.
func (m *Metrics) Crashed(e daemon.Event) { m.note(e, crashes) }

// OutOfMemory counts a process that the kernel killed at its container's limit of memory. The
// container's files tell of that too, but are gone if it was the first process in it.
func (m *Metrics) OutOfMemory(e daemon.Event) { m.note(e, oomKills) }

// note counts what happened in a container, whose labels have the app's name and not its handle.
func (m *Metrics) note(e daemon.Event, f field) {
	if m.Meters == nil || m.History == nil {
		return
	}
	if m.keyByName(e) == host { // it was just made, say
		ctx, cancel := context.WithTimeout(context.Background(), keepLimit)
		m.learn(ctx)
		cancel()
	}
	key := m.keyByName(e)
	if key.Subject == "" { // of nothing that is measured
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current == nil {
		m.current = newFrame(time.Now().Truncate(liveStep).UTC())
	}
	m.current.at(key).n[f]++
	if f == oomKills {
		m.killed[e.Container]++
	}
}

// keyByName is the series of an event, whose labels have the app's name.
func (m *Metrics) keyByName(e daemon.Event) Key {
	m.mu.Lock()
	defer m.mu.Unlock()
	key, _ := names{apps: m.names.named, addons: m.names.addons}.keyOf(e.Labels)
	return key
}
