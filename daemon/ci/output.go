package ci

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"

	"towline/daemon"
	"towline/daemon/apps"
)

// maxShown is how much of what a run writes is shown and read, in bytes. The run goes on beyond it.
const maxShown = 16 << 20

// maxLine is how long a line is whose rest is shown as another, in bytes.
const maxLine = 16 << 10

// recording is an apps.Recording.
type recording interface {
	io.Writer
	End(last string)
}

// shown is where a run writes: to the pusher, and to what is kept. Secrets are shown by their names
// alone.
type shown struct {
	mu      sync.Mutex
	to      recording
	secrets []*strings.Replacer // two add-ons may have values of one name
	line    []byte
	left    int
}

func show(to recording, secrets map[string]string) *shown {
	s := &shown{to: to, left: maxShown}
	s.hide(secrets)
	return s
}

// hide has these values shown by their names, from the next line on.
func (s *shown) hide(vars map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets = append(s.secrets, apps.Hiding(vars))
}

// hidden is text without secrets.
func (s *shown) hidden(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.without(text)
}

func (s *shown) without(text string) string {
	for _, secret := range s.secrets {
		text = secret.Replace(text)
	}
	return text
}

// Write never fails. What comes of one writer is to be whole lines.
func (s *shown) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line = append(s.line, p...)
	for {
		i := bytes.IndexByte(s.line, '\n')
		if i < 0 {
			return len(p), nil
		}
		s.put(string(s.line[:i+1]))
		s.line = append(s.line[:0], s.line[i+1:]...)
	}
}

// say shows a whole line.
func (s *shown) say(prefix string, line []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left > 0 { // else it is one of very many
		s.put(prefix + string(line) + "\n")
	}
}

func (s *shown) put(line string) {
	if s.left <= 0 {
		return
	}
	line = s.without(line)
	if s.left -= len(line); s.left <= 0 {
		line = fmt.Sprintf(" !     What follows is not shown: a run may write %s\n", daemon.BytesText(maxShown))
	}
	_, _ = io.WriteString(s.to, line)
}

// end keeps the last line, whatever was written before it.
func (s *shown) end(last string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.line) > 0 {
		s.put(string(s.line) + "\n")
		s.line = nil
	}
	s.to.End(s.without(last))
}
