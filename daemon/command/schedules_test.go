package command

import "testing"

func TestSchedulesComeOnceAMinuteAtMost(t *testing.T) {
	b := newBench(t)
	b.run(0, "apps:create", "shop")
	b.attachRedis("shop")
	r := b.run(2, "backups:schedule", "redis-shop", "@every", "1s")
	want(t, r.errors, "more often than once a minute", "at least 1m")
	want(t, b.run(0, "backups:schedules", "--json").out, "[]")
	b.run(0, "backups:schedule", "redis-shop", "0", "3", "*", "*", "7")
	want(t, b.run(0, "backups:schedules").out, "0 3 * * 7")
}
