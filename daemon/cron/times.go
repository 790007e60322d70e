// Package cron reads the times of crontab(5), each in a time zone of its own. It keeps and
// starts nothing.
package cron

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// What Parse says beside the parser's own errors.
var (
	ErrZoneWithin = errors.New("the time zone stands in the expression")
	ErrZone       = errors.New("there is no such time zone")
	ErrNever      = errors.New("it never comes")
)

// form is the five fields that crontab(5) has, and @daily and the like. The zone is
// a value of its own: a prefix in the expression would hide it from a listing.
var form = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// Times are an expression and its zone, parsed.
type Times struct {
	cron cron.Schedule
	zone *time.Location
}

// Parse reads an expression like "0 3 * * *" and the name of a zone like Europe/Berlin;
// the empty one is UTC. The times must come once after now. The machine's own zone,
// "Local", is none.
func Parse(expression, zone string, now time.Time) (Times, error) {
	if strings.Contains(expression, "TZ=") {
		return Times{}, ErrZoneWithin
	}
	parsed, err := form.Parse(sundayIsZero(expression))
	if err != nil {
		return Times{}, err
	}
	if zone == "Local" {
		return Times{}, ErrZone
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		return Times{}, ErrZone
	}
	t := Times{parsed, location}
	if t.Next(now).IsZero() {
		return Times{}, ErrNever
	}
	return t, nil
}

// Zone is where the times are those of the clock.
func (t Times) Zone() *time.Location { return t.zone }

// MinEvery is how often times may come: as often as crontab(5) can say.
const MinEvery = time.Minute

// TooOften tells whether they are less than MinEvery apart, as @every can say.
func (t Times) TooOften() bool {
	every, ok := t.cron.(cron.ConstantDelaySchedule)
	return ok && every.Delay < MinEvery
}

// sundayIsZero writes the 7 that crontab(5) takes for Sunday in its last field as 0,
// which the parser takes.
func sundayIsZero(expression string) string {
	fields := strings.Fields(expression)
	if len(fields) != 5 {
		return expression
	}
	var parts []string
	for part := range strings.SplitSeq(fields[4], ",") {
		days, step, stepped := strings.Cut(part, "/")
		from, to, isRange := strings.Cut(days, "-")
		switch {
		case days == "7", days == "7-7":
			part = "0"
		case isRange && to == "7" && !stepped:
			part = from + "-6,0"
		case isRange && to == "7":
			// Counted from the first day on, Sunday is in the range if a step ends there.
			first, ferr := strconv.Atoi(from)
			by, err := strconv.Atoi(step)
			if ferr != nil || err != nil || by < 1 || first > 6 {
				break
			}
			part = from + "-6/" + step
			if (7-first)%by == 0 {
				part += ",0"
			}
		}
		parts = append(parts, part)
	}
	fields[4] = strings.Join(parts, ",")
	return strings.Join(fields, " ")
}

// Next is the first tick after a time, in UTC; zero if there is none.
func (t Times) Next(after time.Time) time.Time {
	next := t.cron.Next(after.In(t.zone))
	if next.IsZero() {
		return next
	}
	return next.UTC()
}

// Due returns the newest tick after last and not after at, zero if there is none, and
// how many came before it, which nobody acted on.
func (t Times) Due(last, at time.Time) (tick time.Time, missed int) {
	for next := t.Next(last); !next.IsZero() && !next.After(at); next = t.Next(next) {
		if !tick.IsZero() {
			missed++
		}
		tick = next
	}
	return tick, missed
}
