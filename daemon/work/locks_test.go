package work

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestLockWaits(t *testing.T) {
	var locks Locks
	unlock, err := locks.Lock(t.Context(), "shop", nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := locks.Lock(t.Context(), "blog", func(time.Time) { t.Error("one name waits for another") })
	if err != nil {
		t.Fatal(err)
	}
	other()

	ended := errors.New("ended")
	ctx, cancel := context.WithCancelCause(t.Context())
	if _, err := locks.Lock(ctx, "shop", func(time.Time) { cancel(ended) }); !errors.Is(err, ended) {
		t.Errorf("given up, it says %v", err)
	}

	var since time.Time
	again, err := locks.Lock(t.Context(), "shop", func(s time.Time) { since = s; unlock() })
	if err != nil || since.IsZero() || time.Since(since) < 0 {
		t.Errorf("taken after waiting since %s: %v", since, err)
	}
	again()
}
