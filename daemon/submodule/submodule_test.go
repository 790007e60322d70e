package submodule

import (
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	got := Parse("\ufeff# what there is\n[core]\n\tpath = no\n[submodule \"lib\"]\n\tpath = vendor/lib/ ; theirs\n\turl = https://ann:secret@example.com/lib.git\n\tbranch = main\n" +
		"[Submodule \"odd\"]\n  URL=git@example.com:odd.git\n  Path=\"a \\\"b\\\" # c\"\n[submodule \"x\"]\n\tpath\n[submodule \"y\"]\nurl = ssh://git@example.com/y\nurl = ../y.git\npath = y\n" +
		"[submodule \"z\"]\nurl = https://token@example.com/z\npath = z")
	want := []Submodule{
		{"vendor/lib", "https://example.com/lib.git"}, {`a "b" # c`, "git@example.com:odd.git"}, {}, {"y", "../y.git"}, {"z", "https://example.com/z"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for _, text := range []string{"", "[", "=", "[submodule", "path = x", "[submodule \"a\"]\nurl = https://a:b c@%zz/\npath=p"} {
		for _, s := range Parse(text) {
			if strings.Contains(s.URL, "b c@") {
				t.Errorf("%q tells a password: %q", text, s)
			}
		}
	}
}

func TestRefuse(t *testing.T) {
	message, hint := Refuse([]Submodule{{"vendor/lib", "https://example.com/lib.git"}, {"b", ""}}, "shop")
	if message != `"vendor/lib" is a submodule: its files are in https://example.com/lib.git, and not part of the push (and 1 more like it)` ||
		!strings.Contains(hint, "\ngit subtree add --prefix vendor/lib https://example.com/lib.git main --squash\n") || !strings.HasSuffix(hint, "deploy:archive -a shop") {
		t.Errorf("%s\n%s", message, hint)
	}
	// What is to be typed is safe to type.
	for _, s := range []Submodule{{"a; rm -rf ~", "x"}, {"$(x)", "`x`"}, {"-x", "--upload-pack=x"}, {"a\x1b[2Jb", ""}, {"$(y)", "git@h:\x1b[2J"}} {
		message, hint := Refuse([]Submodule{s}, "shop")
		if strings.Contains(message, "\x1b") || s.Path != "" && strings.Contains(hint, s.Path+" ") || s.URL == "`x`" && strings.Contains(hint, "`") || strings.Contains(hint, " --upload-pack") {
			t.Errorf("%q: %s\n%s", s, message, hint)
		}
	}
}
