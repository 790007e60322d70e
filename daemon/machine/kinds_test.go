package machine

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
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
	for _, k := range New(Options{}).Journal.Kinds() {
		for _, step := range k.Steps {
			if n := said[k.Name+":"+step]; n != 1 {
				t.Errorf("the step %s of %s is in the table %d times", step, k.Name, n)
			}
			delete(said, k.Name+":"+step)
		}
	}
	for step := range said {
		t.Errorf("the table has %s, which is no step", step)
	}
}

func TestKindsAreWhole(t *testing.T) {
	names := map[string]bool{}
	for _, k := range New(Options{}).Journal.Kinds() {
		if k.Name == "" || names[k.Name] || k.Text == "" || len(k.Steps) == 0 || k.Recover == nil {
			t.Errorf("not whole, or declared twice: %+v", k)
		}
		if k.Background != "" && !slices.Contains(k.Steps, k.Background) {
			t.Errorf("%s has no step %s", k.Name, k.Background)
		}
		names[k.Name] = true
	}
}
