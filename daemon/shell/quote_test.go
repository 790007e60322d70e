package shell

import (
	"os/exec"
	"strings"
	"testing"
)

// TestJoin asks a shell.
func TestJoin(t *testing.T) {
	words := []string{"printf", `%s|`, "", "a b", "it's", `"`, `\`, "$HOME", "`id`", "*", "~", "#", "a=b", "-n", "\n", "é"}
	out, err := exec.Command("sh", "-c", Join(words)).Output()
	if err != nil || string(out) != strings.Join(words[2:], "|")+"|" {
		t.Errorf("the shell saw %q, error %v", out, err)
	}
}

func TestQuote(t *testing.T) {
	for word, want := range map[string]string{
		"rake": "rake", "db:migrate": "db:migrate", "--a=b,c": "--a=b,c", "": "''", "it's": `'it'\''s'`, "$x": "'$x'", "é": "'é'", "a\nb": "'a\nb'",
	} {
		if got := Quote(word); got != want {
			t.Errorf("%q becomes %s, want %s", word, got, want)
		}
	}
}
