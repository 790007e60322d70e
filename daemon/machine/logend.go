package machine

import (
	"strings"
)

// maxLogEnd bounds what is kept in memory of a container's log, in bytes.
const maxLogEnd = 64 << 10

// logEnd keeps the last maxLogEnd bytes of what is written.
type logEnd struct{ kept []byte }

// Write never fails.
func (l *logEnd) Write(p []byte) (int, error) {
	l.kept = append(l.kept, p[max(0, len(p)-maxLogEnd):]...)
	if len(l.kept) > 2*maxLogEnd {
		l.kept = append([]byte(nil), l.kept[len(l.kept)-maxLogEnd:]...)
	}
	return len(p), nil
}

// lines are the last n at most; none if nothing was written.
func (l *logEnd) lines(n int) []string {
	text := strings.TrimRight(string(l.kept[max(0, len(l.kept)-maxLogEnd):]), "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-n):]
}
