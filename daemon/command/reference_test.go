package command

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the reference in docs/cli.md")

// reference lists every command with its usage, by topic.
func (t *Table) reference() string {
	var s strings.Builder
	for _, topic := range topics {
		fmt.Fprintf(&s, "\n### %s\n\n%s.\n\n", upperFirst(topic.name), upperFirst(topic.about))
		for _, name := range t.commandsOf(topic.name) {
			c := t.commands[name]
			fmt.Fprintf(&s, "- `%s`: %s\n", usage(c), c.Summary)
		}
	}
	return s.String()
}

// TestReference: the list of commands in docs/cli.md is that of the table.
func TestReference(t *testing.T) {
	const file, mark = "../../docs/cli.md", "-run TestReference -update -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, have, found := strings.Cut(string(text), mark)
	if !found {
		t.Fatalf("%s has no %q", file, mark)
	}
	written := newBench(t).reference()
	switch {
	case have == written:
	case *update:
		if err := os.WriteFile(file, []byte(head+mark+written), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s does not list the commands as they are: go test -tags \"$TAGS\" ./daemon/command -run TestReference -update", file)
	}
}

// TestReferenceHasTheExitCodes: programs rely on them.
func TestReferenceHasTheExitCodes(t *testing.T) {
	text, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	for kind, code := range exitCodes {
		want(t, string(text), fmt.Sprintf("| `%s` | %d |", strings.ReplaceAll(string(kind), " ", "_"), code))
	}
}
