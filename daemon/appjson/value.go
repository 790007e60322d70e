package appjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tailscale/hujson"

	"towline/daemon"
)

// value is one in the file, which knows where it stands.
type value struct {
	*hujson.Value
	path string // "formation.web"; empty: the whole file
	in   *document
}

type document struct {
	text  []byte
	notes *[]string
}

// maxDepth of objects and lists within each other: no app.json comes near it, and the parser calls
// itself for each.
const maxDepth = 50

// read takes the whole text in.
func read(text []byte, notes *[]string) (value, error) {
	text = append(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), '\n') // which ends a comment
	d := &document{text, notes}
	if n := tooDeep(text); n >= 0 {
		return value{}, d.wrong(n, "this is nested more than %d deep", maxDepth)
	}
	v, err := hujson.Parse(text)
	if err != nil {
		return value{}, daemon.Errorf(daemon.Invalid, "app.json is not valid: %s", readable(strings.TrimPrefix(err.Error(), "hujson: "))).
			WithHint("it is JSON; comments and trailing commas are allowed")
	}
	top := value{&v, "", d}
	if top.kind() != '{' {
		return top, top.wrong("this is not valid: it is no object")
	}
	return top, nil
}

// readable keeps what a parser quotes of the text from filling the user's screen, or steering it.
func readable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if most := 160; len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// tooDeep is where the text is nested too deep, or -1.
func tooDeep(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch rest := text[i:]; {
		case text[i] == '{', text[i] == '[':
			if depth++; depth > maxDepth {
				return i
			}
		case text[i] == '}', text[i] == ']':
			depth--
		case text[i] == '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case bytes.HasPrefix(rest, []byte("//")):
			i += bytes.IndexByte(rest, '\n') // the text ends with one
		case bytes.HasPrefix(rest, []byte("/*")):
			if n := bytes.Index(rest[2:], []byte("*/")); n >= 0 {
				i += n + 3
			}
		}
	}
	return -1
}

// place is a line and a column, in characters.
func (d *document) place(offset int) (line, column int) {
	before := d.text[:min(offset, len(d.text))]
	begin := bytes.LastIndexByte(before, '\n') + 1
	return bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[begin:]) + 1
}

func (d *document) wrong(offset int, format string, args ...any) *daemon.Error {
	return daemon.Errorf(daemon.Invalid, "%s: %s", at(d.place(offset)), fmt.Sprintf(format, args...))
}

func (v value) wrong(format string, args ...any) *daemon.Error {
	return v.in.wrong(v.StartOffset, format, args...)
}

// because is an error of a name or a value that is checked elsewhere, with its hint.
func (v value) because(err error) error {
	e := v.wrong("%v", err)
	var of *daemon.Error
	if errors.As(err, &of) {
		e.Hint = of.Hint
	}
	return e
}

// maxNotes are as many as anybody reads. To find the line of one takes the whole text.
const maxNotes = 20

// note tells what is not followed.
func (v value) note(format string, args ...any) {
	text := "there is more that is not followed"
	switch n := len(*v.in.notes); {
	case n > maxNotes:
		return
	case n < maxNotes:
		text = fmt.Sprintf("app.json line %d: %s: %s", v.line(), daemon.Clip(v.path), fmt.Sprintf(format, args...))
	}
	*v.in.notes = append(*v.in.notes, text)
}

func (v value) line() int { line, _ := v.in.place(v.StartOffset); return line }

func (v value) kind() hujson.Kind { return v.Value.Value.Kind() }

func (v value) inside(name string, of *hujson.Value) value {
	if v.path != "" {
		name = v.path + "." + name
	}
	return value{of, name, v.in}
}

// fields are what an object may hold; nil: anything, which nothing comes of.
type fields map[string]func(value) error

// object has each member read by its field, and notes those that have none.
func (v value) object(known fields) error {
	return v.each(strings.Join(daemon.SortedKeys(known), ", "), func(name string, member value) error {
		field, ok := known[name]
		if !ok {
			for _, like := range daemon.SortedKeys(known) {
				if strings.EqualFold(like, name) {
					member.note("this key has no effect here; did you mean %s?", like)
					return nil
				}
			}
			member.note("this key has no effect here")
			return nil
		}
		if field == nil || member.kind() == 'n' {
			return nil
		}
		return field(member)
	})
}

// maxMembers is more than any object or list of an app.json has.
const maxMembers = 500

// each calls f for each member of an object of what it says, the last one of each name.
func (v value) each(what string, f func(name string, member value) error) error {
	object, ok := v.Value.Value.(*hujson.Object)
	switch {
	case !ok:
		return v.wrong("%s is not an object of %s", v.name(), what)
	case len(object.Members) > maxMembers:
		return v.wrong("%s has more than %d members", v.name(), maxMembers)
	}
	last := map[string]int{}
	name := func(m hujson.ObjectMember) string { return m.Name.Value.(hujson.Literal).String() }
	for i, m := range object.Members {
		last[name(m)] = i
	}
	for i := range object.Members {
		m := &object.Members[i]
		member := v.inside(name(*m), &m.Value)
		if last[name(*m)] != i {
			member.note("it is there twice, and the last one counts")
			continue
		}
		if err := f(name(*m), member); err != nil {
			return err
		}
	}
	return nil
}

// list is the elements of one.
func (v value) list() (all []value, err error) {
	list, ok := v.Value.Value.(*hujson.Array)
	switch {
	case !ok:
		return nil, v.wrong("%s is not a list", v.name())
	case len(list.Elements) > maxMembers:
		return nil, v.wrong("%s has more than %d elements", v.name(), maxMembers)
	}
	for i := range list.Elements {
		all = append(all, value{&list.Elements[i], fmt.Sprintf("%s[%d]", v.path, i), v.in})
	}
	return all, nil
}

func (v value) name() string {
	if v.path == "" {
		return "app.json"
	}
	return daemon.Clip(v.path)
}

func (v value) text() (string, error) {
	if v.kind() != '"' {
		return "", v.wrong("%s is not a text", v.name())
	}
	return v.Value.Value.(hujson.Literal).String(), nil
}

// scalar is a text, or a number or a truth value as it is written.
func (v value) scalar() (string, bool) {
	if !slices.Contains([]hujson.Kind{'"', '0', 't', 'f'}, v.kind()) {
		return "", false
	}
	return v.Value.Value.(hujson.Literal).String(), true
}

func (v value) number() (n float64, err error) {
	if v.kind() != '0' || json.Unmarshal(v.Value.Value.(hujson.Literal), &n) != nil {
		return 0, v.wrong("%s is not a number", v.name())
	}
	return n, nil
}

func (v value) boolean() (bool, error) {
	if v.kind() != 't' && v.kind() != 'f' {
		return false, v.wrong("%s is neither true nor false", v.name())
	}
	return v.kind() == 't', nil
}
