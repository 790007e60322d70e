package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"
	"time"

	"towline/daemon"
)

// The voice: an error is " !     " and a lower-case cause, then the hint. Progress of
// long work begins with "-----> ". Results are plain lines, aligned where there are
// several, and JSON on request.

// printError tells what went wrong. With --json that is one line, the last of all:
//
//	{"error": {"kind": "not_found", "message": "there is no app \"shop\"", "hint": "towline apps lists them"}}
func printError(w io.Writer, err error, asJSON bool) {
	var code exit
	if errors.As(err, &code) {
		return
	}
	f := failure{Kind: "failed", Message: err.Error()}
	var e *daemon.Error
	switch {
	case errors.Is(err, context.Canceled):
		f.Kind = "interrupted"
	case errors.As(err, &e):
		f.Kind, f.Hint = strings.ReplaceAll(string(e.Kind), " ", "_"), e.Hint
	}
	if asJSON {
		_ = encoder(w).Encode(map[string]failure{"error": f})
		return
	}
	warn(w, f.Message)
	if f.Hint != "" {
		warn(w, f.Hint)
	}
}

// failure is an error as programs read it.
type failure struct {
	Kind    string `json:"kind"` // of daemon.Kind, with _ for blanks, or interrupted
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// warn marks each line of a text as one that should not be overlooked.
func warn(w io.Writer, text string) {
	fmt.Fprintf(w, " !     %s\n", strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n !     "))
}

// result prints v as JSON if that was asked for, else by text.
func (call *Call) result(v any, text func(w io.Writer)) error {
	if !call.JSON {
		text(call.Stdout)
		return nil
	}
	// No program expects null of a listing.
	switch list := reflect.ValueOf(v); {
	case list.Kind() == reflect.Slice && list.IsNil():
		v = []any{}
	case list.Kind() == reflect.Map && list.IsNil():
		v = object{}
	}
	enc := encoder(call.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// object is the JSON of what a command has done, where it lists nothing.
type object map[string]any

// did says in a sentence what a command has done, or by v in JSON.
func (call *Call) did(v object, format string, args ...any) error {
	return call.result(v, func(w io.Writer) { fmt.Fprintf(w, format+"\n", args...) })
}

func encoder(w io.Writer) *json.Encoder {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc
}

// table prints aligned columns.
func table(w io.Writer, rows func(row func(cells ...any))) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rows(func(cells ...any) {
		for i, c := range cells {
			if i > 0 {
				fmt.Fprint(tw, "\t")
			}
			fmt.Fprint(tw, c)
		}
		fmt.Fprintln(tw)
	})
	tw.Flush()
}

// ago is a time as people say it.
func ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := time.Since(t)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	}
	return t.Local().Format("2006-01-02 15:04")
}

func size(bytes int64) string {
	const unit = 1024
	if bytes < unit {
		return fmt.Sprintf("%d B", bytes)
	}
	div, exp := int64(unit), 0
	for n := bytes / unit; n >= unit; n /= unit {
		div, exp = div*unit, exp+1
	}
	return fmt.Sprintf("%.1f %ciB", float64(bytes)/float64(div), "KMGTP"[exp])
}

func by(member string) string {
	if member == "" {
		return "operator"
	}
	return member
}
