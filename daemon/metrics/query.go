package metrics

import (
	"context"
	"slices"
	"strings"
	"time"

	"towline/daemon"
)

// Query says what of which app.
type Query struct {
	App   string
	Since time.Time
	Until time.Time     // zero: now
	Step  time.Duration // at least; 0: the finest that there is of the time
}

// Report is what was measured of an app.
type Report struct {
	App  string        `json:"app"`
	From time.Time     `json:"from"`
	To   time.Time     `json:"to"`
	Step time.Duration `json:"step"`
	// Series has one for each number and what it is of: the app's processes by their type, and the
	// add-ons that it has.
	Series []Series          `json:"series"`
	Events []daemon.Activity `json:"events"`
}

// Series is one number over time. Times at which nothing was measured have no value.
type Series struct {
	Name  string  `json:"name"`
	Of    string  `json:"of"` // a process type, or the name of an add-on
	Addon bool    `json:"addon"`
	Unit  string  `json:"unit"`
	Limit float64 `json:"limit,omitempty"` // in the same unit; 0: none
	Now   float64 `json:"now"`             // the newest value
	Most  float64 `json:"most"`
	// Whole is the value of all of the time at once: a percentile of all of its requests, not one
	// of percentiles.
	Whole  float64 `json:"whole"`
	Points []Value `json:"points"`
}

// Value is a number, and the time in Unix seconds at which its step begins.
type Value [2]float64

// finest is the step of what is kept of a time: the shortest that does not make too many points of it.
func finest(from, to, now time.Time) time.Duration {
	from = from.Add(liveStep) // "the last ten minutes" began a moment before they are looked for
	long := to.Sub(from)
	switch {
	case long <= liveFor && !from.Before(now.Add(-liveFor)):
		return liveStep
	case long <= 6*time.Hour && !from.Before(now.Add(-levels[0].kept)):
		return levels[0].step
	case long <= 7*24*time.Hour && !from.Before(now.Add(-levels[1].kept)):
		return levels[1].step
	}
	return levels[2].step
}

// Of is what was measured of an app, by its processes and of its add-ons.
func (m *Metrics) Of(ctx context.Context, q Query) (Report, error) {
	now := time.Now().UTC()
	if q.Until.IsZero() || q.Until.After(now) {
		q.Until = now
	}
	if !q.Since.Before(q.Until) {
		return Report{}, daemon.Errorf(daemon.Invalid, "there is no time from %s on", q.Since.Format(time.RFC3339)).WithHint("give a time that has passed: --since 2h")
	}
	if oldest := now.Add(-levels[2].kept); q.Since.Before(oldest) {
		q.Since = oldest
	}
	step := finest(q.Since, q.Until, now)
	if q.Step > step {
		step *= (q.Step + step - 1) / step
	}
	r := Report{App: q.App, From: q.Since.Truncate(step).UTC(), To: q.Until.UTC(), Step: step, Series: []Series{}, Events: []daemon.Activity{}}
	subjects, err := m.subjects(ctx, &r, q)
	if err != nil {
		return r, err
	}
	frames, err := m.between(ctx, r.From, r.To, step, subjects)
	if err != nil {
		return r, err
	}
	r.Series = seriesOf(frames, subjects, step)
	return r, nil
}

// subject is an app or add-on, as frames and as people call it.
type subject struct {
	name  string
	addon bool
}

// subjects are the app and the add-ons that it uses. It also reads what was done to them.
func (m *Metrics) subjects(ctx context.Context, r *Report, q Query) (map[string]subject, error) {
	all := map[string]subject{}
	err := m.Store.View(ctx, func(tx daemon.Tx) error {
		app, err := daemon.FindApp(tx, q.App)
		if err != nil {
			return err
		}
		all[appSubject(app)] = subject{name: app.Name}
		attached, err := tx.Attachments()
		if err != nil {
			return err
		}
		for _, at := range attached {
			if at.App != app.Name {
				continue
			}
			addon, err := tx.Addon(at.Addon)
			if err != nil {
				return err
			}
			all[addonSubject(addon)] = subject{addon.Name, true}
		}
		done, err := tx.Activities(daemon.ActivityQuery{Apps: []daemon.App{app}, Since: r.From})
		for _, a := range slices.Backward(done) {
			if !a.Time.After(r.To) && marks(a) {
				r.Events = append(r.Events, a)
			}
		}
		return err
	})
	return all, err
}

// marks tells whether an event explains a chart.
func marks(a daemon.Activity) bool {
	if a.Outcome != daemon.Done {
		return false
	}
	noun, verb, _ := strings.Cut(string(a.Kind), ".")
	switch noun {
	case "release", "process":
		return true
	case "config":
		return verb != "read"
	case "router", "addon":
		return a.Kind != daemon.PageOpened && a.Kind != daemon.PageClosed && a.Kind != daemon.AddonConnected
	case "backup":
		return a.Kind == daemon.BackupCaptured || a.Kind == daemon.BackupRestored
	}
	return false
}

// between are frames of that step, oldest first, made of the longest that are kept of each time, and
// of shorter ones where the longer are not made yet.
func (m *Metrics) between(ctx context.Context, from, to time.Time, step time.Duration, subjects map[string]subject) ([]*Frame, error) {
	want := func(k Key) bool { _, ok := subjects[k.Subject]; return ok }
	start := len(levels) - 1
	for start > 0 && levels[start].step > step {
		start--
	}
	var parts []*Frame
	next := from
	if step >= levels[0].step {
		for i := start; i >= 0; i-- {
			list, err := m.frames(ctx, i, next, to, want)
			if err != nil {
				return nil, err
			}
			parts = append(parts, list...)
			if len(list) > 0 {
				next = list[len(list)-1].Start.Add(levels[i].step)
			}
		}
	}
	parts = append(parts, m.inMemory(next, to, step, want)...)
	var out []*Frame
	for _, f := range parts {
		at := f.Start.Truncate(step)
		if n := len(out); n == 0 || out[n-1].Start.Before(at) {
			out = append(out, newFrame(at))
		}
		out[len(out)-1].add(f)
	}
	return out, nil
}

// inMemory are the frames that are not on disk: of the minute that is not over, or with a short step
// the live ones.
func (m *Metrics) inMemory(from, to time.Time, step time.Duration, want func(Key) bool) (list []*Frame) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if step >= levels[0].step {
		if m.minute == nil || m.minute.Start.Before(from) || !m.minute.Start.Before(to) {
			return nil
		}
		data := m.minute.encode(exact) // a copy
		if f, err := decode(m.minute.Start, data, want); err == nil {
			list = append(list, f)
		}
		return list
	}
	for _, k := range m.live {
		if k.start.Before(from) || !k.start.Before(to) {
			continue
		}
		if f, err := decode(k.start, k.data, want); err == nil {
			list = append(list, f)
		}
	}
	return list
}
