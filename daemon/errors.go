package daemon

import (
	"errors"
	"fmt"
	"slices"
)

// Kind sorts errors by what the user can do about them. The command package maps
// each to an exit code.
type Kind string

// The kinds of error that reach users.
const (
	Invalid     Kind = "invalid"     // the input is wrong; nothing was changed
	NotFound    Kind = "not found"   // what was named is not there
	Exists      Kind = "exists"      // the name is taken
	Forbidden   Kind = "forbidden"   // the member may not
	Conflict    Kind = "conflict"    // the state does not allow it now
	Failed      Kind = "failed"      // it was tried and did not work
	Unavailable Kind = "unavailable" // a part of Towline does not answer
)

// Error is what users see: what failed, and what to type next.
type Error struct {
	Kind    Kind
	Message string // lower-case, no full stop
	Hint    string // may be empty
	Err     error  // cause, may be nil
}

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error { return e.Err }

// Is makes errors of the same kind match ErrNotFound and the like.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind && t.Message == ""
}

// What adapters return where the core decides by the kind alone.
var (
	ErrNotFound error = &Error{Kind: NotFound}
	ErrExists   error = &Error{Kind: Exists}
)

// Errorf makes an Error. A %w operand becomes its cause.
func Errorf(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Message: err.Error(), Err: errors.Unwrap(err)}
}

// WithHint says what to type next.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// NotReadyError is a web process that did not become ready.
type NotReadyError struct{ Target, Reason string }

func (e *NotReadyError) Error() string { return e.Target + ": " + e.Reason }

// ErrClosing is the cause of work that was cut short because the daemon ends.
var ErrClosing = Errorf(Unavailable, "towlined is shutting down").
	WithHint("nothing was changed; try again in a moment")

// IsAway tells whether any of the errors in err says that Podman or the proxy is away.
func IsAway(err error) bool {
	if e, ok := err.(*Error); ok && e.Kind == Unavailable {
		return true
	}
	switch x := err.(type) {
	case interface{ Unwrap() error }:
		return IsAway(x.Unwrap())
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(x.Unwrap(), IsAway)
	}
	return false
}

// IsKind tells whether err is, or wraps, an Error of that kind.
func IsKind(err error, kind Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == kind
}
