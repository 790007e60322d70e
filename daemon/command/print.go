package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"towline/daemon"
)

// The voice: an error is " !     " and a lower-case cause, then the hint. Progress of
// long work begins with "-----> ". Results are plain lines, aligned where there are
// several, and JSON on request.

func printError(w io.Writer, err error) {
	var code exit
	if errors.As(err, &code) {
		return
	}
	var e *daemon.Error
	if !errors.As(err, &e) {
		fmt.Fprintf(w, " !     %v\n", err)
		return
	}
	fmt.Fprintf(w, " !     %s\n", err)
	if e.Hint != "" {
		fmt.Fprintf(w, " !     %s\n", strings.ReplaceAll(e.Hint, "\n", "\n !     "))
	}
}

// result prints v as JSON if that was asked for, else by text.
func (call *Call) result(v any, text func(w io.Writer)) error {
	if !call.JSON {
		text(call.Stdout)
		return nil
	}
	enc := json.NewEncoder(call.Stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
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
