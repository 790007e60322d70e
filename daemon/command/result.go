package command

import (
	"fmt"
	"io"
	"reflect"
)

// Result is what a command comes to: a value, and how people read it. The table writes one
// or the other; the command itself writes neither.
type Result struct {
	// Value is for programs. JSON carries it, and so may any other form (Request.Render).
	Value any
	// Text writes it for people.
	Text func(io.Writer)
	// Warnings are what should not be overlooked, in whatever form the value is shown.
	Warnings []string
	// Code is the exit code of what was answered, and is no error: that of a program that
	// was run, or 1 where the answer is that something is wrong.
	Code int
}

// Stream is what a command writes to standard output by itself, while it runs.
type Stream int

const (
	// Whole is a command that writes nothing: it returns its value.
	Whole Stream = iota
	// Lines are written as they come, and each is JSON if that was asked for.
	Lines
	// Progress comes before the value: whoever pushes sees both as one. With JSON it goes to
	// standard error.
	Progress
	// Bytes are a program's output, or a file: never JSON, and nothing is added to them.
	Bytes
)

// stream is how the call's output comes.
func (call *Call) stream(c *Command) Stream {
	for flag, stream := range c.With {
		if given, _ := call.Flags.GetBool(flag); given {
			return stream
		}
	}
	return c.Stream
}

// show is the result of a command that has something to show.
func show(v any, text func(w io.Writer)) (Result, error) {
	return Result{Value: v, Text: text}, nil
}

// object is the value of what a command has done, where it lists nothing.
type object map[string]any

// did says in a sentence what a command has done.
func did(v object, format string, args ...any) (Result, error) {
	return show(v, func(w io.Writer) { fmt.Fprintf(w, format+"\n", args...) })
}

// render shows a result in the form that was asked for.
func (call *Call) render(w io.Writer, r Result) error {
	if r.Text == nil {
		return nil
	}
	err := call.renderValue(w, r)
	for _, text := range r.Warnings {
		fmt.Fprintf(call.Stderr, " !     %s\n", text)
	}
	return err
}

func (call *Call) renderValue(w io.Writer, r Result) error {
	switch {
	case call.request.Render != nil:
		return call.request.Render(r)
	case call.JSON:
		enc := encoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(programmatic(r.Value))
	}
	r.Text(w)
	return nil
}

// programmatic is a value as programs expect it: no null in place of a listing.
func programmatic(v any) any {
	switch list := reflect.ValueOf(v); {
	case list.Kind() == reflect.Slice && list.IsNil():
		return []any{}
	case list.Kind() == reflect.Map && list.IsNil():
		return object{}
	}
	return v
}
