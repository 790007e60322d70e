package plugins

import "regexp"

// Hints tells what the lines of a service's log mean, as far as the manifest says.
type Hints struct {
	match []*regexp.Regexp
	say   []string
	said  map[int]bool
}

// NewHints is for one reading of a log: each hint is said once.
func NewHints(list []LogHint) *Hints {
	h := &Hints{said: map[int]bool{}}
	for _, hint := range list {
		h.match = append(h.match, regexp.MustCompile(hint.Match)) // checked by LoadFile
		h.say = append(h.say, hint.Say)
	}
	return h
}

// Of is what a line means; empty if there is no hint for it, or it was said already.
func (h *Hints) Of(line string) string {
	for i, re := range h.match {
		if re.MatchString(line) {
			if h.said[i] {
				return ""
			}
			h.said[i] = true
			return h.say[i]
		}
	}
	return ""
}
