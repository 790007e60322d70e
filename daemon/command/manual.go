package command

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Topic is a chapter of the manual: what the table says of a family of commands.
type Topic struct {
	Name, About string
	Entries     []Entry
}

// Entry is one command as the manual shows it.
type Entry struct {
	Name, Usage, Summary, Help string
	Flags                      string // as the command's --help lists them
}

// Manual is everything that people can type, by topic. It asks nothing of a daemon.
func Manual() []Topic {
	t := New(Rooms{}, HostParts{})
	var list []Topic
	for _, topic := range topics {
		chapter := Topic{Name: topic.name, About: upperFirst(topic.about)}
		for _, name := range t.commandsOf(topic.name) {
			c := t.commands[name]
			chapter.Entries = append(chapter.Entries, Entry{
				Name: c.Name, Usage: usage(c), Summary: upperFirst(c.Summary), Help: strings.TrimSpace(c.Help), Flags: flagsOf(c),
			})
		}
		list = append(list, chapter)
	}
	return slices.DeleteFunc(list, func(t Topic) bool { return len(t.Entries) == 0 })
}

// flagsOf leaves out the flags that every command has.
func flagsOf(c *Command) string {
	f := pflag.NewFlagSet(c.Name, pflag.ContinueOnError)
	if c.Flags != nil {
		c.Flags(f)
	}
	return strings.TrimRight(f.FlagUsages(), "\n")
}
