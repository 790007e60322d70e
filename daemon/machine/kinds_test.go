package machine

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"towline/daemon"
)

// The table in docs/architecture.md says of every step of every kind of operation what
// comes of it when it is cut short, once, and of nothing else.
func TestArchitectureNamesEveryStep(t *testing.T) {
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "| kind | cut short in | outcome |\n")
	if !found {
		t.Fatal("the table is gone")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	word := regexp.MustCompile("`([^`]+)`")
	said := map[string]int{}
	for row := range strings.Lines(table) {
		cells := strings.Split(row, "|")
		if len(cells) != 5 || strings.HasPrefix(row, "| ---") {
			continue
		}
		kind := word.FindStringSubmatch(cells[1])
		if kind == nil {
			t.Fatalf("no kind in %q", row)
		}
		for _, step := range word.FindAllStringSubmatch(cells[2], -1) {
			said[kind[1]+":"+step[1]]++
		}
	}
	for _, k := range New(Options{}).allKinds() {
		for _, step := range k.steps {
			if n := said[k.name+":"+step]; n != 1 {
				t.Errorf("the step %s of %s is in the table %d times", step, k.name, n)
			}
			delete(said, k.name+":"+step)
		}
	}
	for step := range said {
		t.Errorf("the table has %s, which is no step", step)
	}
}

func TestKindsAreWhole(t *testing.T) {
	names := map[string]bool{}
	for _, k := range New(Options{}).allKinds() {
		if k.name == "" || names[k.name] || k.text == "" || len(k.steps) == 0 || k.recover == nil {
			t.Errorf("not whole, or declared twice: %+v", k)
		}
		if k.background != "" && !slices.Contains(k.steps, k.background) {
			t.Errorf("%s has no step %s", k.name, k.background)
		}
		names[k.name] = true
	}
}

// What no table knows how to recover is not begun.
func TestBeginRefusesWhatIsNotDeclared(t *testing.T) {
	d := New(Options{})
	for _, c := range [][2]string{{"no-such-kind", "run"}, {opRun, "no-such-step"}} {
		if _, err := d.begin(t.Context(), c[0], "shop", "", c[1], nil); !daemon.IsKind(err, daemon.Failed) {
			t.Errorf("%v: got %v", c, err)
		}
	}
	op := &operation{d: d, Operation: daemon.Operation{Kind: opRun, Step: "run"}}
	if err := op.step(t.Context(), "no-such-step", nil); !daemon.IsKind(err, daemon.Failed) || op.Step != "run" {
		t.Errorf("a step that is not declared: got %v, at %s", err, op.Step)
	}
}
