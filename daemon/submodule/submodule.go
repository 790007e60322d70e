// Package submodule reads .gitmodules, and says what to do about a source that is split over
// several repositories. It fetches nothing.
package submodule

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode"
)

// File is where git keeps which submodules there are; Max is how many bytes of it are read.
const (
	File = ".gitmodules"
	Max  = 1 << 20
)

// Submodule is a directory whose files are in another repository.
type Submodule struct {
	Path string
	URL  string // of that repository, without a password; empty: the source does not say
}

// Parse reads a .gitmodules file, as far as it can be read: git's own configuration format.
func Parse(text string) (list []Submodule) {
	inside := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			if inside = strings.HasPrefix(strings.ToLower(line), "[submodule"); inside {
				list = append(list, Submodule{})
			}
			continue
		}
		key, value, found := strings.Cut(line, "=")
		if !inside || !found {
			continue
		}
		value = unquote(strings.TrimSpace(value))
		switch last := &list[len(list)-1]; strings.ToLower(strings.TrimSpace(key)) {
		case "path":
			last.Path = strings.TrimSuffix(value, "/")
		case "url":
			last.URL = withoutPassword(value)
		}
	}
	return list
}

// unquote takes away a value's quotes, its escapes, and a comment behind it.
func unquote(value string) string {
	var plain strings.Builder
	quoted := false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\' && i+1 < len(value):
			i++
			plain.WriteByte(value[i])
		case c == '"':
			quoted = !quoted
		case (c == '#' || c == ';') && !quoted:
			return strings.TrimSpace(plain.String())
		default:
			plain.WriteByte(c)
		}
	}
	return plain.String()
}

// withoutPassword leaves out who a URL logs in as: it is shown, and kept in logs.
func withoutPassword(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		if strings.Contains(text, "://") {
			return ""
		}
		return text // like git@host:path
	}
	if u.User != nil && u.Scheme != "ssh" || passwordOf(u) {
		u.User = nil
	}
	return u.String()
}

func passwordOf(u *url.URL) bool {
	if u.User == nil {
		return false
	}
	_, has := u.User.Password()
	return has
}

// plain is a word that a shell takes as it is.
var plain = regexp.MustCompile(`^[A-Za-z0-9_./:@~+-]+$`)

// Refuse says, of a source with submodules, what is missing and what to do.
func Refuse(list []Submodule, app string) (message, hint string) {
	first := list[0]
	from := "a repository that " + File + " does not name"
	if first.URL != "" {
		from = clip(first.URL)
	}
	message = fmt.Sprintf("%q is a submodule: its files are in %s, and not part of the push", clip(first.Path), from)
	if n := len(list) - 1; n > 0 {
		message += fmt.Sprintf(" (and %d more like it)", n)
	}
	if !plain.MatchString(first.Path) || strings.HasPrefix(first.Path, "-") {
		first.Path = "PATH"
	}
	if !plain.MatchString(first.URL) || strings.HasPrefix(first.URL, "-") {
		first.URL = "URL"
	}
	hint = fmt.Sprintf("make them part of this repository: git rm --cached %s; then commit the files themselves (without its .git), or\n"+
		"git subtree add --prefix %[1]s %s main --squash\n"+
		"or deploy them together: git submodule update --init --recursive; git ls-files -z --recurse-submodules | tar -c --null -T - | ssh towline@HOST deploy:archive -a %s",
		first.Path, first.URL, app)
	return message, hint
}

func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?' // which steers no terminal
	}, s)
	if len(s) > 120 {
		return strings.ToValidUTF8(s[:120], "") + "..."
	}
	return s
}
