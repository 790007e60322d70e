package metrics

import (
	"context"
	"strconv"
	"time"
)

// stamp tells apps and add-ons of one name apart.
func stamp(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 36) }

const keepLimit = 5 * time.Second

// keep writes a minute. One that is there already, from before the daemon was started again or the
// clock was set back, is added to.
func (m *Metrics) keep(ctx context.Context, f *Frame) {
	// The daemon's end does not lose a minute that is over.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepLimit)
	defer cancel()
	err := m.put(ctx, 0, f)
	switch {
	case err != nil && !m.failing:
		m.Log.Error("measurements are not kept", "err", err)
	case err == nil && m.failing:
		m.Log.Info("measurements are kept again")
	}
	m.failing = err != nil
}

func (m *Metrics) put(ctx context.Context, level int, f *Frame) error {
	there, err := m.frames(ctx, level, f.Start, f.Start.Add(time.Second), nil)
	if err != nil {
		return err
	}
	for _, before := range there {
		before.add(f)
		f = before
	}
	return m.History.Put(ctx, level, f.Start, pack(f.encode(exact)))
}

// frames are those of a level from a time on and before another, oldest first. One that is damaged
// is left out.
func (m *Metrics) frames(ctx context.Context, level int, from, to time.Time, want func(Key) bool) ([]*Frame, error) {
	if m.History == nil { // nothing is kept
		return nil, nil
	}
	list, err := m.History.Get(ctx, level, from, to)
	if err != nil {
		return nil, err
	}
	frames := make([]*Frame, 0, len(list))
	for _, at := range list {
		data, err := unpack(at.Data)
		if err != nil {
			continue
		}
		if f, err := decode(at.Time, data, want); err == nil {
			frames = append(frames, f)
		}
	}
	return frames, nil
}

// rollUp makes the frames of the longer levels that are over, those that a daemon that was killed had
// not made among them, and forgets what is too old.
func (m *Metrics) rollUp(ctx context.Context, now time.Time) {
	for i := 1; i < len(levels); i++ {
		if err := m.rollUpTo(ctx, i, now); err != nil {
			return // and again in a minute
		}
	}
	if since := now.Sub(m.forgot); 0 <= since && since < time.Hour {
		return
	}
	m.forgot = now
	for i, l := range levels {
		if err := m.History.Forget(ctx, i, now.Add(-l.kept)); err != nil {
			return
		}
	}
}

func (m *Metrics) rollUpTo(ctx context.Context, to int, now time.Time) error {
	step := levels[to].step
	newest, err := m.History.Newest(ctx, to)
	if err != nil {
		return err
	}
	from := now.Add(-levels[to-1].kept).Truncate(step).Add(step) // what is older has lost some of its parts
	if after := newest.Add(step); after.After(from) {
		from = after
	}
	end := now.Truncate(step) // what is not over
	if !from.Before(end) {
		return nil
	}
	// One window after the other: a daemon that was away has many.
	for from.Before(end) {
		parts, err := m.frames(ctx, to-1, from, min2(from.Add(day), end), nil)
		if err != nil {
			return err
		}
		var sum *Frame
		flush := func() error {
			if sum == nil {
				return nil
			}
			f := sum
			sum = nil
			return m.History.Put(ctx, to, f.Start, pack(f.encode(levels[to].how)))
		}
		for _, part := range parts {
			start := part.Start.Truncate(step)
			if sum != nil && !sum.Start.Equal(start) {
				if err := flush(); err != nil {
					return err
				}
			}
			if sum == nil {
				sum = newFrame(start)
			}
			sum.add(part)
		}
		if err := flush(); err != nil {
			return err
		}
		from = from.Add(day)
	}
	return nil
}

// day is how much is rolled up at once at most; a multiple of every step.
const day = 24 * time.Hour

func min2(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
