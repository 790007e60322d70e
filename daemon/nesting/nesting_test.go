package nesting

import (
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func TestTOML(t *testing.T) {
	deep := strings.Repeat("[", Max+1)
	for text, want := range map[string]int{
		"": 0,
		"a = 1\n[b.c.d]\ne.f = [[1, 2], [3]]\n[[g.h]]\n":        0,
		"a = \"[[[[[[[[[[[[[[[[[[[[[\"\n":                       0,
		"a = '" + deep + "' # " + deep + "\n":                   0,
		"a = \"\"\"\n" + deep + "\\\"\"\"\"\"\"\nb = 1\n":       0,
		"a = '''\n" + deep + "'''''\nb = " + deep:               3,
		"a = \"\\\"\" # \" \nb = " + deep:                       2,
		"a = [\n\"\"\"x\"\"\"\", " + deep:                       2,
		"a = '\\'\nb = " + deep:                                 2,
		"x = 1\na = " + strings.Repeat("{a=", Max+1):            2,
		"x = 1\n" + strings.Repeat("a.", Max) + "a = 1":         2,
		"x = 1\n" + strings.Repeat("\"a\" . ", Max) + "a = 1":   2,
		"[" + strings.Repeat("a.", Max) + "a]\n":                1,
		"a = [" + strings.Repeat("1.5, ", 100) + "]\nb = 1.5":   0,
		strings.Repeat("a = [\n  \"x.y.z.w\", # a.b.c\n]\n", 9): 0,
	} {
		if got := TOML(text); got != want {
			t.Errorf("%.100q: line %d, want %d", text, got, want)
		}
	}
}

// FuzzTOML: what is not refused the parser takes in a moment, and nests no deeper than it may.
func FuzzTOML(f *testing.F) {
	for _, text := range []string{"a = [[1]]", "[a.b]\nc = '''x'''''", "a.\"b\".c = {d = {e = \"\"\"\\\"\"\"\"}}", "[[a]]\n[a.b]"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var v map[string]any
		if TOML(text) != 0 {
			return
		}
		if _, err := toml.Decode(text, &v); err == nil && depth(v) > (Max+1)*(Max+1) {
			t.Errorf("%q is %d deep", text, depth(v))
		}
	})
}

func depth(v any) (n int) {
	switch v := v.(type) {
	case map[string]any:
		for _, in := range v {
			n = max(n, depth(in))
		}
		return n + 1
	case []any:
		for _, in := range v {
			n = max(n, depth(in))
		}
		return n + 1
	case []map[string]any:
		for _, in := range v {
			n = max(n, depth(in))
		}
		return n + 1
	}
	return 0
}
