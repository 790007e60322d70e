package shell

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		line string
		want []string
	}{
		{"", nil},
		{" \t\n ", nil},
		{"ps -a shop", []string{"ps", "-a", "shop"}},
		{"  ps   -a\tshop\n", []string{"ps", "-a", "shop"}},
		{`config:set A='x y' B="p q"`, []string{"config:set", "A=x y", "B=p q"}},
		{`run -- rake 'x["a",b]'`, []string{"run", "--", "rake", `x["a",b]`}},
		{`a\ b c\\d \'e`, []string{"a b", `c\d`, "'e"}},
		{`"a\"b" "c\\d" "e\nf" "\$HOME"`, []string{`a"b`, `c\d`, `e\nf`, "$HOME"}},
		{`'' "" x''y`, []string{"", "", "xy"}},
		{"a\\\nb", []string{"ab"}},
		{"$HOME * ~ `id` $(id) ; | & > <", []string{"$HOME", "*", "~", "`id`", "$(id)", ";", "|", "&", ">", "<"}},
		{"git-receive-pack '/shop.git'", []string{"git-receive-pack", "/shop.git"}},
		{"é ñ", []string{"é", "ñ"}},
	} {
		got, err := Split(c.line)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("Split(%q) = %q, %v; want %q", c.line, got, err, c.want)
		}
	}
	for _, line := range []string{"'", `"`, `a "b`, `a 'b`, `\`, `"\`, "a\x00b"} {
		if got, err := Split(line); err == nil {
			t.Errorf("Split(%q) = %q, want an error", line, got)
		}
	}
}

// FuzzSplit checks that what a careful user quotes arrives unchanged, and that
// nothing makes Split panic.
func FuzzSplit(f *testing.F) {
	f.Add("a b", "it's")
	f.Add(`"\`, "$(x)\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		Split(a)
		if strings.Contains(a+b, "\x00") {
			t.Skip()
		}
		for _, line := range []string{Quote(a) + " " + Quote(b), Protect(a) + " " + Protect(b)} {
			got, err := Split(line)
			if err != nil || !slices.Equal(got, []string{a, b}) {
				t.Errorf("%s becomes %q, %v; want %q, %q", line, got, err, a, b)
			}
		}
	})
}

// TestSplitAsShell compares with a real POSIX shell where nothing is expanded.
func TestSplitAsShell(t *testing.T) {
	for _, line := range []string{
		`a 'b c' "d e" f\ g`, `x"y"'z'\w`, `"a\b\\c\"d\e"`, `'a\b'`, `""`, `a'' ''b`, "a\\\nb c", `"a` + "\\\n" + `b"`,
	} {
		out, err := exec.Command("sh", "-c", `printf '%s\0' `+line).Output()
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		if got, err := Split(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("Split(%q) = %q, %v; sh has %q", line, got, err, want)
		}
	}
}
