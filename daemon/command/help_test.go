package command

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestHelpIsShortAndWhole(t *testing.T) {
	b := newBench(t)
	r := b.run(0, "help")
	if n := strings.Count(r.out, "\n"); n > 32 {
		t.Errorf("the help is %d lines long", n)
	}
	for _, name := range common {
		want(t, r.out, "  "+name+" ")
	}
	families := map[string]bool{}
	for _, topic := range topics {
		want(t, r.out, "  "+topic.name+" ")
		want(t, b.run(0, "help", topic.name).out, "towline help COMMAND explains one.")
		for _, family := range topic.families {
			families[family] = true
		}
	}
	all := b.run(0, "help", "--all").out
	for _, name := range b.names() {
		want(t, all, "\n  "+name+" ")
		if family, _, _ := strings.Cut(name, ":"); !families[family] {
			t.Errorf("%s is in no topic of the help", name)
		}
		topic := b.run(0, "help", topicOf(name)).out
		want(t, "\n"+topic, "\n  "+name+" ")
	}
	want(t, b.run(0, "help", "releases").out, "usage: towline releases -a APP", "releases:rollback")
	want(t, b.run(0, "help", "config:set").out, "usage: towline config:set -a APP KEY=value [...] [--no-restart]")
	want(t, b.run(0, "help", "scale").out, "usage: towline ps:scale", "Also: towline scale")
}

// TestUsageHasEveryFlag: what is not in the usage is found by nobody.
func TestUsageHasEveryFlag(t *testing.T) {
	b := newBench(t)
	for _, name := range b.names() {
		c := b.commands[name]
		help := b.run(0, name, "--help").out
		c.eachFlag(func(f *pflag.Flag) {
			want(t, help, "  "+written(f, ", "))
			switch f.Name {
			case "json":
			case "app":
				want(t, usage(c), "-a")
			default:
				want(t, usage(c), "--"+f.Name)
			}
		})
		wantNone(t, help, "[=true", " string", " strings", " uint16", " int ")
		if c.Summary == "" || strings.HasSuffix(c.Summary, ".") {
			t.Errorf("%s is about %q", name, c.Summary)
		}
	}
}

func TestWrongFlags(t *testing.T) {
	b := newBench(t)
	for line, texts := range map[string][]string{
		"apps --colour":               {"apps has no flag --colour", "usage: towline apps"},
		"logs -x -a shop":             {"logs has no flag -x"},
		"logs -tx -a shop":            {"logs has no flag -x"},
		"logs --tale -a shop":         {"did you mean --tail?"},
		"logs -a":                     {"-a, --app APP needs a value"},
		"logs -n many -a shop":        {`"many" is nothing for --num, which takes a number`},
		"addons:open x --for long":    {`"long" is nothing for --for, which takes a time like 30m or 2h`},
		"logs --tail=perhaps -a shop": {`"perhaps" is nothing for --tail, which takes no value`},
		"apps --=x":                   {"the flags can't be read"},
	} {
		r := b.run(2, strings.Fields(line)...)
		want(t, r.errors, texts...)
		wantNone(t, r.errors, "strconv", "unknown flag", "shorthand")
	}
	if !slices.Equal(b.commandsOf("config"), b.family("config")) {
		t.Error(b.commandsOf("config"))
	}
}
