package work

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Nobody waits once there is nothing more to try.
func TestThriceWaitsBetweenTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, tries := time.Now(), 0
		err := Thrice(t.Context(), func() error { tries++; return errors.New("no") })
		if took := time.Since(start); err == nil || tries != 3 || took != 2*time.Second {
			t.Errorf("%d tries in %s: %v", tries, took, err)
		}
	})
}

func TestUntilDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waits []time.Duration
		tries := 0
		done := UntilDone(t.Context(), "a try", func() error {
			if tries++; tries == 2 {
				panic("a bug")
			}
			if tries < 12 {
				return errors.New("no")
			}
			return nil
		}, func(_ error, again time.Duration) { waits = append(waits, again) })
		if !done || tries != 12 || !slices.IsSorted(waits) || waits[0] != time.Second || waits[10] != longestWait {
			t.Errorf("%t after %d tries, %v", done, tries, waits)
		}
	})
}

func TestUntilDoneEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		done := UntilDone(ctx, "a try", func() error { return errors.New("no") }, func(error, time.Duration) {})
		if took := time.Since(start); done || took != 10*time.Second {
			t.Errorf("%t after %s", done, took)
		}
	})
}
