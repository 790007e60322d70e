package plugins

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"text/template"
	"text/template/parse"
)

// A manifest may be a stranger's. What its templates can do is bounded: they go on
// for no longer than their text, and make no more than maxRendered.
const (
	maxManifest = 256 << 10 // bytes of a plugin.toml
	maxRendered = 1 << 20   // bytes of one rendered text, or of one part on its way
	maxSpec     = 2 << 20   // bytes of all of an add-on's together
)

var errTooLong = fmt.Errorf("it makes more than %d bytes", maxRendered)

// parseTemplate refuses what could go on without end: a range over a number, and a
// template that calls itself.
func parseTemplate(text string) (*template.Template, error) {
	t, err := template.New("").Option("missingkey=error").Funcs(boundedFuncs).Parse(text)
	if err != nil {
		return nil, err
	}
	if len(t.Templates()) > 1 || t.Tree != nil && hasLoop(t.Root) {
		return nil, errors.New("range, define, block and template are not for manifests: write it out")
	}
	return t, nil
}

func hasLoop(node parse.Node) bool {
	switch n := node.(type) {
	case *parse.ListNode:
		if n == nil {
			return false
		}
		for _, sub := range n.Nodes {
			if hasLoop(sub) {
				return true
			}
		}
	case *parse.IfNode:
		return hasLoop(n.List) || hasLoop(n.ElseList)
	case *parse.WithNode:
		return hasLoop(n.List) || hasLoop(n.ElseList)
	case *parse.RangeNode, *parse.TemplateNode:
		return true
	}
	return false
}

// wide is a verb whose result is padded to a width that no text needs.
var wide = regexp.MustCompile(`%[-+# 0\[\]\d.]*(\*|\d{4,})`)

// boundedFuncs are those of text/template that make new texts: by variables they
// could double one over and over.
var boundedFuncs = template.FuncMap{
	"print":   func(args ...any) (string, error) { return bounded(fmt.Sprint(args...)) },
	"println": func(args ...any) (string, error) { return bounded(fmt.Sprintln(args...)) },
	"printf": func(format string, args ...any) (string, error) {
		if wide.MatchString(format) {
			return "", errTooLong
		}
		return bounded(fmt.Sprintf(format, args...))
	},
	"html":     func(args ...any) (string, error) { return bounded(template.HTMLEscaper(args...)) },
	"js":       func(args ...any) (string, error) { return bounded(template.JSEscaper(args...)) },
	"urlquery": func(args ...any) (string, error) { return bounded(template.URLQueryEscaper(args...)) },
}

func bounded(text string) (string, error) {
	if len(text) > maxRendered {
		return "", errTooLong
	}
	return text, nil
}

// boundedBuilder takes maxRendered bytes.
type boundedBuilder struct{ strings.Builder }

func (b *boundedBuilder) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxRendered {
		return 0, errTooLong
	}
	return b.Builder.Write(p)
}
