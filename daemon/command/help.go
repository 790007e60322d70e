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
		{Name: "help", Args: "[COMMAND]", Summary: "list commands, or explain one", Max: 2, On: on(nothing()), Run: runHelp},
		{Name: "commands", Summary: "list the names of all commands", Max: 0, Hidden: true, On: on(nothing()),
			Run: func(_ context.Context, call *Call) error {
				names := call.table.names()
				return call.result(names, func(w io.Writer) { fmt.Fprintln(w, strings.Join(names, "\n")) })
			}},
		{Name: "version", Summary: "show the server's version", Max: 0, On: on(nothing()),
			Run: func(_ context.Context, call *Call) error {
				return call.result(map[string]string{"version": Version}, func(w io.Writer) { fmt.Fprintln(w, "towline "+Version) })
			}},
	}
}

func (t *Table) names() []string {
	names := slices.Sorted(maps.Keys(t.commands))
	return slices.DeleteFunc(names, func(n string) bool { return t.commands[n].Hidden })
}

func runHelp(_ context.Context, call *Call) error {
	if len(call.Args) > 0 {
		c, _, err := call.table.find(call.Args)
		if err != nil {
			return err
		}
		printHelp(call.Stdout, c)
		return nil
	}
	type entry struct {
		Name    string `json:"name"`
		Usage   string `json:"usage"`
		Summary string `json:"summary"`
	}
	var all []entry
	for _, name := range call.table.names() {
		c := call.table.commands[name]
		all = append(all, entry{name, usage(c), c.Summary})
	}
	return call.result(all, func(w io.Writer) {
		fmt.Fprint(w, "Towline runs your apps: push to deploy, add databases, scale, roll back.\n\n"+
			"usage: towline COMMAND [-a APP] [ARGUMENTS]\n"+
			"       ssh towline@HOST COMMAND ...   where no client is installed\n\n")
		table(w, func(row func(...any)) {
			topic := ""
			for _, e := range all {
				head, _, _ := strings.Cut(e.Name, ":")
				if topic != "" && head != topic {
					row("", "")
				}
				topic = head
				row("  "+e.Name, e.Summary)
			}
		})
		fmt.Fprint(w, "\ntowline help COMMAND explains one. A space works in place of the colon.\n")
	})
}

func usage(c *Command) string {
	s := "towline " + c.Name
	if c.takesApp() {
		s += " -a APP"
	}
	if c.Args != "" {
		s += " " + c.Args
	}
	return s
}

func printHelp(w io.Writer, c *Command) {
	fmt.Fprintf(w, "usage: %s\n\n%s\n", usage(c), upperFirst(c.Summary)+".")
	if c.Help != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(c.Help))
	}
	f := pflag.NewFlagSet(c.Name, pflag.ContinueOnError)
	if c.takesApp() {
		f.StringP("app", "a", "", "the app")
	}
	if c.Confirm != nil {
		f.StringP("confirm", "c", "", "the name, typed again")
	}
	if c.Flags != nil {
		c.Flags(f)
	}
	if !c.Stream {
		f.Bool("json", false, "print JSON")
	}
	fmt.Fprintf(w, "\nflags:\n%s", f.FlagUsages())
	if needs := c.needs(); len(needs) > 0 {
		fmt.Fprintf(w, "\n%s\n", strings.Join(needs, "\n"))
	}
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
