package container

import (
	"context"
	"strings"
	"time"
)

// maxLogEnd bounds what is kept in memory of a container's log, in bytes.
const maxLogEnd = 64 << 10

// LogEnd keeps the last maxLogEnd bytes of what is written.
type LogEnd struct{ kept []byte }

// Write never fails.
func (l *LogEnd) Write(p []byte) (int, error) {
	l.kept = append(l.kept, p[max(0, len(p)-maxLogEnd):]...)
	if len(l.kept) > 2*maxLogEnd {
		l.kept = append([]byte(nil), l.kept[len(l.kept)-maxLogEnd:]...)
	}
	return len(p), nil
}

// Lines are the last n at most; none if nothing was written.
func (l *LogEnd) Lines(n int) []string {
	text := strings.TrimRight(string(l.kept[max(0, len(l.kept)-maxLogEnd):]), "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-n):]
}

// Tail is the end of a container's log, to be shown.
func (cs *Containers) Tail(container string) string {
	lines := cs.LastLines(container, 20)
	if len(lines) == 0 {
		return "    (none)"
	}
	return "    " + strings.Join(lines, "\n    ")
}

// LastLines are the last n lines of it at most.
func (cs *Containers) LastLines(container string, n int) []string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var end LogEnd
	if err := cs.Engine.ContainerLog(ctx, container, false, &end, &end); err != nil {
		return nil
	}
	return end.Lines(n)
}
