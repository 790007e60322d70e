package command

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"towline/daemon/apps"
)

func TestListingsHaveHeadings(t *testing.T) {
	b := filledBench(t)
	for line, heading := range map[string]string{
		"apps": "APP ", "addons": "ADD-ON ", "addons:services": "SERVICE ", "addons:plans redis": "PLAN ", "domains -a shop": "=== shop Domains", "certs -a shop": "HOST ",
		"members": "MEMBER ", "access -a shop": "MEMBER ", "plugins": "PLUGIN ", "backups": "BACKUP ", "backups:schedules": "ADDON ", "config -a shop": "=== shop Config Vars",
	} {
		if out := b.run(0, strings.Fields(line)...).out; !strings.HasPrefix(out, heading) {
			t.Errorf("%s: %s", line, out)
		}
	}
	b.write()
	want(t, b.run(0, "plugins").out, " 1 add-on ", " 0 add-ons ")
	want(t, b.run(0, "releases", "-a", "shop").out, "=== shop Releases - Current: v1\nVERSION ", "v1       Initial release  current  operator ")
	want(t, b.run(3, "logs", "-p", "nosuch", "-a", "shop").errors, `shop has no process "nosuch"`, "there are: release, run, web")
	b.run(0, "logs", "-p", "web.2", "-a", "shop")
	want(t, b.run(0, "apps:deploy-branch", "-a", "shop", "trunk").out, "Pushes to trunk deploy shop")
}

func TestTimesAsPeopleSayThem(t *testing.T) {
	for d, text := range map[time.Duration]string{
		0: "0 s ago", 12 * time.Second: "12 s ago", 5 * time.Minute: "5 min ago", 47 * time.Hour: "47 h ago",
	} {
		if got := ago(time.Now().Add(-d)); got != text && d != 12*time.Second || !strings.HasSuffix(got, " ago") {
			t.Errorf("%s: %q", d, got)
		}
	}
	if ago(time.Time{}) != "never" || lasted(100*time.Hour) != "4 days" || count(1, "key") != "1 key" || count(2, "key") != "2 keys" {
		t.Error(ago(time.Time{}), lasted(100*time.Hour), count(1, "key"), count(2, "key"))
	}
}

// TestNarrowScreens: no line is wider than the screen, and no word of a table is cut.
func TestNarrowScreens(t *testing.T) {
	b := filledBench(t)
	for _, width := range []int{60, 80, 200} {
		for _, line := range []string{"apps", "addons", "addons:services", "releases -a shop", "apps:info -a shop", "members", "plugins", "certs -a shop", "config -a shop"} {
			r := b.ask(Request{Args: strings.Fields(line), Width: width})
			for text := range strings.Lines(r.out) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(text, "\n")); n > width {
					t.Errorf("%s has a line of %d at %d columns: %q", line, n, width, text)
				}
			}
		}
		r := b.ask(Request{Args: []string{"apps:create", "A_name_that_is_not_allowed"}, Width: width})
		for text := range strings.Lines(r.errors) {
			if !strings.HasPrefix(text, " !     ") || utf8.RuneCountInString(text) > width+1 {
				t.Errorf("at %d columns: %q", width, text)
			}
		}
	}
	if got := fold("one two three", 8); !slices.Equal(got, []string{"one two", "three"}) {
		t.Errorf("%q", got)
	}
	if got := fold("abcdefgh ij", 3); !slices.Equal(got, []string{"abc", "def", "gh", "ij"}) {
		t.Errorf("%q", got)
	}
	if got := fold("as  it   is", 80); !slices.Equal(got, []string{"as  it   is"}) {
		t.Errorf("%q", got)
	}
}

// TestHelpOnNarrowScreens: no sentence of any command's help is wider than the screen, and
// none of it is lost; what is to be typed stays whole.
func TestHelpOnNarrowScreens(t *testing.T) {
	b := newBench(t)
	for _, width := range []int{50, 80} {
		for _, line := range append(b.Table.names(), "", "--all", "apps", "config") {
			args := append([]string{"help"}, strings.Fields(line)...)
			r := b.ask(Request{Args: args, Width: width})
			for text := range strings.Lines(r.out) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(text, "\n")); n > width && !strings.HasPrefix(text, " ") {
					t.Errorf("help %s has a line of %d at %d columns: %q", line, n, width, text)
				}
			}
			whole := strings.Join(strings.Fields(b.ask(Request{Args: args}).out), "")
			if folded := strings.Join(strings.Fields(r.out), ""); len(folded) != len(whole) {
				t.Errorf("help %s has %d characters at %d columns, and %d whole", line, len(folded), width, len(whole))
			}
		}
	}
}

func TestColour(t *testing.T) {
	var text strings.Builder
	s := &screen{Writer: &text, colour: true}
	fmt.Fprint(s, "-----> Starting\n", "plain\n")
	fmt.Fprint(s, " !     bad\n=== ")
	fmt.Fprint(s, "=== shop\n")
	fmt.Fprint(s, "=== two\n")
	want := "\x1b[35m-----> Starting\x1b[0m\nplain\n\x1b[31m !     bad\x1b[0m\n\x1b[1m=== \x1b[0m=== shop\n\x1b[1m=== two\x1b[0m\n"
	if text.String() != want {
		t.Errorf("%q", text.String())
	}
	b := newBench(t)
	if r := b.ask(Request{Args: []string{"nope"}}); strings.Contains(r.errors, "\x1b") {
		t.Errorf("%q", r.errors)
	}
	if r := b.ask(Request{Args: []string{"nope"}, Colour: true}); !strings.Contains(r.errors, "\x1b[31m !     there is no command") {
		t.Errorf("%q", r.errors)
	}
}

func TestPsHeading(t *testing.T) {
	for want, p := range map[string]apps.ProcessState{
		"=== web (2): bin/web": {Type: "web", Command: "bin/web"},
		"=== one-offs":         {Type: "run"},
	} {
		if got := psHeading(p, 2); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
