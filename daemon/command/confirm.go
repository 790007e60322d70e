package command

import (
	"context"
	"fmt"
	"io"
	"strings"

	"towline/daemon"
)

// confirm fails unless the name of what the command changes for good was typed a second
// time: by --confirm, or at a terminal when asked.
func (call *Call) confirm(ctx context.Context, c *Command) error {
	if c.Confirm == nil {
		return nil
	}
	if c.Exists != nil {
		if err := c.Exists(ctx, call); err != nil {
			return err
		}
	}
	want := c.Confirm(call)
	got, _ := call.Flags.GetString("confirm")
	if got == want {
		return nil
	}
	effect := "this removes " + want + " for good"
	if c.Effect != nil {
		effect = c.Effect(call)
	}
	switch {
	case got != "":
		return daemon.Errorf(daemon.Invalid, "--confirm %s does not match %s", clip(got), want).WithHint("nothing was changed")
	case !call.Terminal || call.JSON:
		return daemon.Errorf(daemon.Invalid, "%s", effect).WithHint("to go on, add: --confirm %s", want)
	}
	warn(call.Stderr, effect)
	fmt.Fprintf(call.Stderr, "To go on, type %s: ", want)
	call.vitals.pause(true)
	typed, err := readLine(call.Stdin)
	call.vitals.pause(false)
	if err != nil {
		fmt.Fprintln(call.Stderr)
		return err
	}
	if typed != want {
		return daemon.Errorf(daemon.Invalid, "%q does not match %s", clip(typed), want).WithHint("nothing was changed")
	}
	return nil
}

// maxAnswer bounds a line that is typed, in bytes.
const maxAnswer = 1000

// readLine reads up to the end of a line, and no byte of the next one.
func readLine(r io.Reader) (string, error) {
	var line []byte
	for b := make([]byte, 1); len(line) < maxAnswer; {
		n, err := r.Read(b)
		if n > 0 && b[0] == '\n' {
			break
		}
		line = append(line, b[:n]...)
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", err
		}
	}
	return strings.TrimSpace(string(line)), nil
}
