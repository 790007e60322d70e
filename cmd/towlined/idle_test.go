package main

import "testing"

func TestIdlerWaitsForAllWork(t *testing.T) {
	i := newIdler()
	first, second := i.work(), i.work()
	first()
	if i.busy != 1 || i.timer.Stop() {
		t.Errorf("busy %d: rests while there is work", i.busy)
	}
	second()
	if i.busy != 0 || !i.timer.Stop() {
		t.Errorf("busy %d: does not rest", i.busy)
	}
}
