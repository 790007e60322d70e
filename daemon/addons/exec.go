package addons

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"towline/daemon"
	"towline/plugins"
)

// Limited drops what is beyond a number of bytes.
type Limited struct {
	W    io.Writer
	Left int
}

func (l *Limited) Write(p []byte) (int, error) {
	keep := p[:min(len(p), l.Left)]
	l.Left -= len(keep)
	if _, err := l.W.Write(keep); err != nil {
		return 0, err
	}
	return len(p), nil
}

const (
	// actionLimit bounds what a manifest has run in a container: a verification may count
	// much.
	actionLimit = time.Hour
	// TransferLimit bounds an export or an import.
	TransferLimit = 12 * time.Hour
	// maxActionOutput bounds what is read of an action, in bytes. Its program is the
	// image's, which those who reach the container may have changed.
	maxActionOutput = 64 << 10
)

// Exec runs a manifest's action in a container and returns the first maxActionOutput
// bytes of what it wrote.
func (ss *Services) Exec(ctx context.Context, container string, a plugins.Action) (string, error) {
	inTime, cancel := context.WithTimeout(ctx, ss.actionLimit)
	defer cancel()
	var stdout, stderr bytes.Buffer
	exec := daemon.ExecSpec{Command: a.Command, Env: a.Env}
	streams := daemon.Streams{Stdout: &Limited{W: &stdout, Left: maxActionOutput}, Stderr: &Limited{W: &stderr, Left: maxActionOutput}}
	code, err := ss.Engine.Exec(inTime, container, exec, streams)
	if err != nil && inTime.Err() != nil && ctx.Err() == nil {
		return "", daemon.Errorf(daemon.Failed, "%s did not end within %s", a.Command[0], ss.actionLimit)
	}
	if err == nil && code != 0 {
		err = fmt.Errorf("%s exited with code %d: %s", a.Command[0], code, daemon.Clip(strings.TrimSpace(stderr.String())))
	}
	return stdout.String(), err
}

// SetActionLimit changes how long a command of a manifest may take.
func (ss *Services) SetActionLimit(limit time.Duration) { ss.actionLimit = limit }
