package command

import (
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"towline/daemon"
)

// flagSet is all that the command takes: its own flags, and those of many.
func (c *Command) flagSet() *pflag.FlagSet {
	f := pflag.NewFlagSet(c.Name, pflag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	f.SortFlags = false
	if c.takesApp() {
		f.StringP("app", "a", "", "the app")
	}
	if c.Flags != nil {
		c.Flags(f)
	}
	if c.Confirm != nil {
		f.StringP("confirm", "c", "", "the name, typed again")
	}
	if c.Stream != Bytes {
		f.Bool("json", false, "print JSON")
	}
	f.BoolP("help", "h", false, "show this help")
	f.SetInterspersed(!c.Rest)
	return f
}

// given are the values of a flag that may be given several times. An empty one is one of them, which
// GetStringArray loses if it is alone.
func (call *Call) given(flag string) []string {
	values, _ := call.Flags.Lookup(flag).Value.(pflag.SliceValue)
	return values.GetSlice()
}

// eachFlag calls do for the flags that tell one command from others.
func (c *Command) eachFlag(do func(*pflag.Flag)) {
	c.flagSet().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" && !strings.Contains(f.Usage, notNeeded) {
			do(f)
		}
	})
}

// notNeeded is in the usage of a flag that is taken, as fingers type it, and does nothing.
const notNeeded = "not needed"

// written is a flag as one types it: -n, --num NUM.
func written(f *pflag.Flag, separator string) string {
	s := "--" + f.Name
	if f.Shorthand != "" {
		s = "-" + f.Shorthand + separator + s
	}
	if f.Value.Type() != "bool" {
		s += " " + valueName(f)
	}
	return s
}

func valueName(f *pflag.Flag) string {
	if name := f.Annotations[valueKind]; len(name) > 0 {
		return name[0]
	}
	if name := valueNames[f.Name]; name != "" {
		return name
	}
	return strings.ToUpper(f.Name)
}

// valueKind annotates a flag whose value is another thing than that of its namesakes.
const valueKind = "value"

var valueNames = map[string]string{
	"confirm": "NAME", "env": "KEY=VALUE", "num": "LINES", "ps": "PROCESS", "for": "TIME", "as": "PREFIX", "alias": "NEW=VAR", "tz": "ZONE", "to": "ADDON",
	"port-name": "NAME", "keep": "RULE",
}

// usage is the command as one types it, with its flags.
func usage(c *Command) string {
	var parts []string
	instead := c.inPlaceOfApp()
	switch {
	case instead != "":
		parts = append(parts, "-a APP|--"+instead+" "+strings.ToUpper(instead))
	case c.takesApp():
		parts = append(parts, "-a APP")
	}
	if c.Args != "" && !c.Rest {
		parts = append(parts, c.Args)
	}
	c.eachFlag(func(f *pflag.Flag) {
		switch {
		case f.Name == "json" || f.Name == "app" && c.takesApp() || f.Name == instead:
		case f.Name == "confirm":
			parts = append(parts, "[--confirm NAME]")
		default:
			parts = append(parts, "["+written(f, "|")+"]")
		}
	})
	if c.Rest { // its flags come first
		parts = append(parts, c.Args)
	}
	return strings.Join(append([]string{"towline " + c.Name}, parts...), " ")
}

// flagError says what is wrong with the flags in words of ours.
func flagError(c *Command, f *pflag.FlagSet, err error) *daemon.Error {
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	var wrong *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		name := "--" + unknown.GetSpecifiedName()
		if short := unknown.GetSpecifiedShortnames(); short != "" {
			name = "-" + short[:1]
			if i := slices.IndexFunc([]byte(short), func(b byte) bool { return f.ShorthandLookup(string(b)) == nil }); i >= 0 {
				name = "-" + short[i:i+1]
			}
		}
		e := usageError(c, "%s has no flag %s", c.Name, clip(name))
		var names []string
		f.VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
		if near := nearest(name, names, 1+len(name)/4); near != "" && len(name) > 2 {
			e = e.WithHint("did you mean %s?\nusage: %s", near, usage(c))
		}
		return e
	case errors.As(err, &missing):
		return usageError(c, "%s needs a value", written(missing.GetFlag(), ", "))
	case errors.As(err, &wrong):
		what := "a value that it can take"
		switch wrong.GetFlag().Value.Type() {
		case "int", "uint16":
			what = "a number"
		case "duration":
			what = "a time like 30m or 2h"
		case "bool":
			what = "no value"
		}
		return usageError(c, "%q is nothing for --%s, which takes %s", clip(wrong.GetValue()), wrong.GetFlag().Name, what)
	}
	return usageError(c, "the flags can't be read: %v", err)
}
