package build

import (
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"towline/daemon/shell"
)

func TestParseProcesses(t *testing.T) {
	got, err := parseProcesses(`{"processes": [
		{"type": "web", "command": ["bash", "-c", "bundle exec puma -p ${PORT:-3000}"], "args": null, "direct": true},
		{"type": "worker", "command": ["rake", "jobs work", "it's"], "args": ["-v"], "direct": true},
		{"type": "clock", "command": "echo $((1 + 1))", "args": ["a b"], "direct": false},
		{"type": "list", "command": ["echo $HOME"], "args": [], "direct": false},
		{"type": "shell", "command": ["sh", "-c", "x", "y"], "direct": true},
		{"type": "", "command": ["x"]},
		{"type": "none", "command": []}
	]}`)
	want := map[string]string{
		"web":    "bundle exec puma -p ${PORT:-3000}",
		"worker": `rake 'jobs work' 'it'\''s' -v`,
		"clock":  "echo $((1 + 1)) 'a b'",
		"list":   "echo $HOME",
		"shell":  "sh -c x y",
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, error %v", got, err)
	}
	if got, err := parseProcesses(""); err != nil || got != nil {
		t.Errorf("of no label: %v, error %v", got, err)
	}
	for _, bad := range []string{"{", `{"processes": [{"type": "x", "command": 1}]}`} {
		if _, err := parseProcesses(bad); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

// TestQuoteCommand asks a shell.
func TestQuoteCommand(t *testing.T) {
	words := []string{"printf", `%s|`, "", "a b", "it's", `"`, `\`, "$HOME", "`id`", "*", "~", "#", "a=b", "-n", "\n", "é"}
	out, err := exec.Command("sh", "-c", shell.Join(words)).Output()
	if err != nil || string(out) != strings.Join(words[2:], "|")+"|" {
		t.Errorf("the shell saw %q, error %v", out, err)
	}
}
