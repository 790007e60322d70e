package daemon

import (
	"fmt"
	"log/slog"
	"runtime/debug"
)

// Contain ends a panic at the call, connection or goroutine that it happened in, so that
// one member's bad luck does not end everybody's builds and backups. Defer it first
// thing there: a panic on another goroutine is not caught. The stack goes to the log.
// Unless err is nil, *err becomes an error of kind Failed, whatever it was before.
func Contain(what string, err *error) {
	v := recover()
	if v == nil {
		return
	}
	slog.Error("panic, contained", "in", what, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	if err != nil {
		*err = Errorf(Failed, "towlined met a bug of its own in %s", what).
			WithHint("the administrator finds the details on the host: journalctl -u towlined")
	}
}

// Try calls f, and turns a panic in it into an error: what f began is then ended like
// any other work that failed.
func Try(what string, f func() error) (err error) {
	defer Contain(what, &err)
	return f()
}

// Attempt is try for a round of a loop that must go on.
func Attempt(what string, f func()) { _ = Try(what, func() error { f(); return nil }) }
