package command

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Version is set by the build.
var Version = "dev"

func helpCommands() []*Command {
	return []*Command{
		{Name: "help", Args: "[TOPIC | COMMAND]", Summary: "list topics and commands, or explain one", Max: 2, On: on(nothing()), Run: runHelp,
			Flags: func(f *pflag.FlagSet) { f.Bool("all", false, "list all commands") }},
		{Name: "commands", Summary: "list the names of all commands", Max: 0, Hidden: true, On: on(nothing()),
			Run: func(_ context.Context, call *Call) (Result, error) {
				names := call.table.names()
				return show(names, func(w io.Writer) { fmt.Fprintln(w, strings.Join(names, "\n")) })
			}},
		{Name: "complete", Args: "WORD ...", Summary: "list what the last of the words may become", Min: 1, Max: -1, Rest: true, Stream: Bytes, Hidden: true,
			On: on(nothing()), Run: runComplete},
		{Name: "version", Summary: "show the server's version", Max: 0, On: on(nothing()),
			Run: func(_ context.Context, call *Call) (Result, error) {
				return show(map[string]string{"version": Version}, func(w io.Writer) { fmt.Fprintln(w, "towline "+Version) })
			}},
	}
}

func (t *Table) names() []string {
	names := slices.Sorted(maps.Keys(t.commands))
	return slices.DeleteFunc(names, func(n string) bool { return t.commands[n].Hidden })
}

// topics are the parts of the help, each with the families of commands in it.
var topics = []struct {
	name, about string
	families    []string
}{
	{"apps", "create apps, name their hosts, see to their routes and certificates", []string{"apps", "domains", "router", "certs", "maintenance"}},
	{"deploy", "how pushes are built; builds and releases, and going back", []string{"deploy", "builder", "builds", "releases"}},
	{"pipelines", "promote a build from staging to production", []string{"pipelines"}},
	{"ci", "run the tests of what was pushed", []string{"ci"}},
	{"processes", "scale, restart, one-off commands, logs, metrics", []string{"ps", "run", "logs", "metrics"}},
	{"config", "config vars, .env files", []string{"config"}},
	{"addons", "Neo4j, Redis, PostgreSQL and what plugins bring", []string{"addons"}},
	{"backups", "take, prove, restore, schedule", []string{"backups"}},
	{"members", "who may do what, with which key, and who did what", []string{"members", "access", "keys", "whoami", "activity"}},
	{"host", "look the machine over, back it up; plugins, version, this help", []string{"host", "plugins", "version", "help"}},
}

// common are the commands of the first hour.
var common = []string{
	"apps:create", "config:set", "addons:create", "ps:scale", "run", "logs", "releases:rollback", "backups:capture",
}

// topicOf is the topic of a command, by its family.
func topicOf(name string) string {
	family, _, _ := strings.Cut(name, ":")
	for _, t := range topics {
		if slices.Contains(t.families, family) {
			return t.name
		}
	}
	return "host"
}

// commandsOf lists a topic's commands, in the order of its families.
func (t *Table) commandsOf(topic string) (names []string) {
	for _, name := range t.names() {
		if topicOf(name) == topic {
			names = append(names, name)
		}
	}
	return names
}

func runHelp(_ context.Context, call *Call) (Result, error) {
	t := call.table
	all, _ := call.Flags.GetBool("all")
	if len(call.Args) == 0 {
		return show(t.entries(t.names()), func(w io.Writer) { t.printTopics(w, all) })
	}
	// A topic lists its commands, a family's name those of the family too.
	names := t.commandsOf(call.Args[0])
	if family := t.family(call.Args[0]); len(names) == 0 && len(family) > 1 {
		names = family
	}
	if len(call.Args) > 1 || len(names) == 0 {
		c, _, err := t.find(call.Args)
		if err != nil {
			return Result{}, err
		}
		return show(t.entries([]string{c.Name})[0], func(w io.Writer) { printHelp(w, c) })
	}
	return show(t.entries(names), func(w io.Writer) {
		if c := t.commands[call.Args[0]]; c != nil {
			printHelp(w, c)
			fmt.Fprintln(w)
		}
		t.printCommands(w, names)
		fmt.Fprint(w, "\ntowline help COMMAND explains one.\n")
	})
}

// entry is a command as programs read it.
type entry struct {
	Name    string `json:"name"`
	Usage   string `json:"usage"`
	Summary string `json:"summary"`
	Topic   string `json:"topic"`
}

func (t *Table) entries(names []string) (list []entry) {
	for _, name := range names {
		c := t.commands[name]
		list = append(list, entry{name, usage(c), c.Summary, topicOf(name)})
	}
	return list
}

func (t *Table) printTopics(w io.Writer, all bool) {
	printText(w, "Towline runs your apps: push to deploy, add databases, scale, roll back.\n\n"+
		"usage: towline COMMAND [-a APP] [ARGUMENTS]\n"+
		"       ssh towline@HOST COMMAND ...   where no client is installed\n\n")
	if all {
		for _, topic := range topics {
			printText(w, fmt.Sprintf("=== %s: %s\n", upperFirst(topic.name), topic.about))
			t.printCommands(w, t.commandsOf(topic.name))
			fmt.Fprintln(w)
		}
	} else {
		fmt.Fprintln(w, "=== The first hour")
		t.printCommands(w, common)
		fmt.Fprintln(w, "\n=== Topics")
		table(w, func(row func(...any)) {
			for _, topic := range topics {
				row("  "+topic.name, topic.about)
			}
		})
		printText(w, "\ntowline help TOPIC lists its commands, towline help --all lists all of them,\n")
	}
	printText(w, "towline help COMMAND explains one. A space works in place of the colon.\n")
}

func (t *Table) printCommands(w io.Writer, names []string) {
	table(w, func(row func(...any)) {
		for _, name := range names {
			row("  "+name, t.commands[name].Summary)
		}
	})
}

func printHelp(w io.Writer, c *Command) {
	for i, line := range fold("usage: "+usage(c), widthOf(w)) {
		fmt.Fprintln(w, strings.Repeat("       ", min(i, 1))+line)
	}
	printText(w, "\n"+upperFirst(c.Summary)+".\n")
	if c.Help != "" {
		printText(w, "\n"+strings.Trim(c.Help, "\n")+"\n")
	}
	fmt.Fprintln(w, "\nflags:")
	table(w, func(row func(...any)) {
		c.eachFlag(func(f *pflag.Flag) {
			about := f.Usage
			if f.DefValue != "" && f.DefValue != "0" && f.DefValue != "false" && f.DefValue != "[]" {
				about += " (default " + f.DefValue + ")"
			}
			row("  "+written(f, ", "), about)
		})
	})
	if needs := c.needs(); len(needs) > 0 {
		printText(w, "\n"+strings.Join(needs, "\n")+"\n")
	}
	var short []string
	for alias, name := range aliases {
		if name == c.Name {
			short = append(short, alias)
		}
	}
	if slices.Sort(short); len(short) > 0 {
		printText(w, "\nAlso: towline "+strings.Join(short, ", towline ")+"\n")
	}
}

// printText prints lines, folded to the screen. What is indented is to be typed as it
// stands, and stays whole.
func printText(w io.Writer, text string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, " ") {
			fmt.Fprintln(w, line)
			continue
		}
		for _, part := range fold(line, widthOf(w)) {
			fmt.Fprintln(w, part)
		}
	}
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
