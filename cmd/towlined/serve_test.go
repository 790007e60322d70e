package main

import (
	"context"
	"testing"
	"time"
)

func TestForceEnd(t *testing.T) {
	forced := make(chan bool, 2)
	force := func() { forced <- true }
	ctx, cancel := context.WithCancel(context.Background())
	defer forceEnd(ctx, time.Millisecond, force)()
	ended := forceEnd(ctx, time.Hour, func() { t.Error("forced although it had ended") })
	if len(forced) > 0 {
		t.Error("forced before the signal")
	}
	cancel()
	select {
	case <-forced:
	case <-time.After(time.Minute):
		t.Error("what does not end is not forced to")
	}
	ended()
}

func TestKeepOn(t *testing.T) {
	rounds := 0
	keepOn(t.Context(), func(context.Context) {
		if rounds++; rounds == 1 {
			panic("boom")
		}
	})
	if rounds != 2 {
		t.Errorf("%d rounds", rounds)
	}
}
