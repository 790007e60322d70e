package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"towline/cmd/internal/session"
	"towline/daemon/socket/wire"
)

// outcomeTimeout is how long a push waits for a daemon that went away in the middle
// of its deploy. A restart takes seconds; a crash on a busy host some more.
const outcomeTimeout = 5 * time.Minute

// outcome asks a daemon that went away in the middle of a deploy, once it is back,
// how it has ended: at its start the daemon keeps what serves or takes it back, and
// the push must say the same. lost is how the call ended that was cut short.
func outcome(ctx context.Context, socket, app, commit string, lost error) (int, error) {
	session.Complain(fmt.Errorf("%w; the deploy ends one way or the other once it is back", lost), "")
	ctx, cancel := context.WithTimeout(ctx, outcomeTimeout)
	defer cancel()
	for {
		code, err := wire.Run(ctx, socket, wire.Request{
			Member: os.Getenv("TOWLINE_MEMBER"), Key: os.Getenv("TOWLINE_KEY"), Address: os.Getenv("TOWLINE_ADDRESS"), Internal: true, Args: []string{"git:served", "--app", app, "--new", commit},
		}, wire.Streams{Stdout: deaf{os.Stderr}, Stderr: deaf{os.Stderr}})
		if !errors.Is(err, wire.ErrUnavailable) || ctx.Err() != nil {
			return code, err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return 0, lost
		}
	}
}
