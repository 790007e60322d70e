package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
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
	const mark = " !     "
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		for _, part := range fold(line, max(0, widthOf(w)-len(mark))) {
			fmt.Fprintln(w, mark+part)
		}
	}
}

func encoder(w io.Writer) *json.Encoder {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc
}

// table prints aligned columns.
func table(w io.Writer, rows func(row func(cells ...any))) {
	var lines [][]string
	rows(func(cells ...any) {
		line := make([]string, len(cells))
		for i, c := range cells {
			line[i] = fmt.Sprint(c)
		}
		lines = append(lines, line)
	})
	layout(w, lines)
}

// ago is a time as people say it.
func ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	if d := time.Since(t); d < 48*time.Hour {
		return lasted(d) + " ago"
	}
	return t.Local().Format("2006-01-02 15:04")
}

// lasted is a length of time, roughly.
func lasted(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// count is a number of things, whose plural is regular.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
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
