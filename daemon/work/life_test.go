package work

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"
)

// Close waits for all that has begun in the background, whoever begins more meanwhile.
func TestCloseWhileWorkBegins(t *testing.T) {
	for range 100 {
		l := NewLife(slog.New(slog.DiscardHandler))
		var running atomic.Int32
		var closed atomic.Bool
		begin := make(chan struct{})
		for range 4 {
			go func() {
				<-begin
				for range 20 {
					l.Go(func(ctx context.Context) {
						running.Add(1)
						<-ctx.Done()
						time.Sleep(10 * time.Microsecond)
						if closed.Load() {
							t.Error("goes on after Close")
						}
						running.Add(-1)
					})
				}
			}()
		}
		close(begin)
		l.Close()
		closed.Store(true)
		if n := running.Load(); n != 0 {
			t.Fatalf("%d go on after Close", n)
		}
	}
}
