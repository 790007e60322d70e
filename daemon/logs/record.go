package logs

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"time"

	"towline/daemon"
)

// record is one line of a file.
type record struct {
	time   time.Time
	stream string // stdout or stderr; SOURCE/PROCESS in Towline's own file
	part   bool   // the text goes on in the stream's next record
	text   []byte
}

// parse reads a record, given without its newline.
func parse(line []byte) (r record, ok bool) {
	when, rest, _ := bytes.Cut(line, []byte(" "))
	stream, rest, _ := bytes.Cut(rest, []byte(" "))
	tag, text, _ := bytes.Cut(rest, []byte(" "))
	t, err := time.Parse(time.RFC3339Nano, string(when))
	if err != nil || len(stream) == 0 || len(tag) != 1 || tag[0] != 'F' && tag[0] != 'P' {
		return record{}, false
	}
	return record{time: t.UTC(), stream: string(stream), part: tag[0] == 'P', text: text}, true
}

// maxLine bounds a line that is joined of parts, in bytes. A longer one becomes
// several.
const maxLine = 1 << 20

// joiner turns the records of one file into lines.
type joiner struct {
	source, process string // of every line; source is empty in Towline's own file
	last            time.Time
	parts           map[string]*partial // by stream
}

// partial is a line whose end has not been read.
type partial struct {
	time time.Time
	text []byte
	seen time.Time // when its newest part was read
}

// add takes the next line of the file and returns the app's line that it ends, if
// it does end one. What is no record was written in the wake of a crash: it counts
// as a whole line, of the time of the one before it.
func (j *joiner) add(raw []byte) (daemon.LogLine, bool) {
	r, ok := parse(raw)
	if !ok {
		r = record{time: j.last, text: raw}
		if len(raw) == 0 || j.last.IsZero() {
			return daemon.LogLine{}, false
		}
	}
	j.last = r.time
	p := j.parts[r.stream]
	if p == nil && !r.part {
		return j.line(r.time, r.stream, r.text), true
	}
	if p == nil {
		p = &partial{time: r.time}
		if j.parts == nil {
			j.parts = map[string]*partial{}
		}
		j.parts[r.stream] = p
	}
	p.text, p.seen = append(p.text, r.text...), time.Now()
	if r.part && len(p.text) < maxLine {
		return daemon.LogLine{}, false
	}
	delete(j.parts, r.stream)
	return j.line(p.time, r.stream, p.text), true
}

// flush returns the lines whose end has not come since before: it may never.
func (j *joiner) flush(before time.Time) (lines []daemon.LogLine) {
	for _, stream := range slices.Sorted(maps.Keys(j.parts)) {
		if p := j.parts[stream]; p.seen.Before(before) {
			lines = append(lines, j.line(p.time, stream, p.text))
			delete(j.parts, stream)
		}
	}
	return lines
}

// line leaves the text as the app wrote it, colours included, but for what no
// terminal shows.
func (j *joiner) line(t time.Time, stream string, text []byte) daemon.LogLine {
	l := daemon.LogLine{Time: t, Source: j.source, Process: j.process}
	if l.Source == "" {
		l.Source, l.Process, _ = strings.Cut(stream, "/")
	}
	l.Text = strings.ReplaceAll(string(bytes.TrimRight(text, "\r")), "\x00", "")
	return l
}
