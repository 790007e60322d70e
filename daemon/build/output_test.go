package build

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestOutput(t *testing.T) {
	var shown bytes.Buffer
	o := newOutput(&shown)
	o.Stage("Building %s", "x")
	fmt.Fprint(o, "one\ntw")
	fmt.Fprint(o, "o\r\n-----> a stage of a buildpack\n\n 10%\r 50%\r100% done\n       indented\nunended")
	o.Stage("Next")
	fmt.Fprintf(o, "%s\n", strings.Repeat("x", 2*maxLine))
	want := "-----> Building x\n       one\n       two\n-----> a stage of a buildpack\n\n       100% done\n       indented\n       unended\n" +
		"-----> Next\n       " + strings.Repeat("x", maxLine) + "\n"
	if shown.String() != want {
		t.Errorf("shown:\n%s\nwant:\n%s", shown.String(), want)
	}
}

func TestCause(t *testing.T) {
	for _, test := range []struct{ name, said, want string }{
		{"nothing", "", ""},
		{"the last line", "one\ntwo\n\n", "two"},
		{"a complaint above the last line", "compiling\nx.c:1: error: no\nleaving directory\n", "x.c:1: error: no"},
		{"not that there was one", "cp: no such thing found\nError: building at STEP \"RUN cp\": exit status 1\n", "cp: no such thing found"},
		{"buildah's own words", "STEP 1/2: FROM a\nSTEP 2/2: COPY x /\nError: building at STEP \"COPY x /\": x: no such file or directory\n", "Error: building at STEP \"COPY x /\": x: no such file or directory"},
		{"the lifecycle's own words", "hello\nERROR: failed to build: exit status 3\n", "hello"},
		{"nothing but that there was one", "ERROR: failed to build: exit status 3\n", "ERROR: failed to build: exit status 3"},
		{"npm", "npm ERR! code E404\nnpm ERR! 404 Not Found - left-pat\nnpm ERR! A complete log of this run can be found in:\nnpm ERR!     /x/_logs/1-debug-0.log\n", "npm ERR! 404 Not Found - left-pat"},
		{"colours", "\x1b[31mError: red\x1b[0m\n", "Error: red"},
		{"not too much", strings.Repeat("é", maxClipped) + "\n", strings.Repeat("é", maxClipped/2) + "..."},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := newOutput(nil)
			fmt.Fprint(o, test.said)
			if got := o.Cause().String(); got != test.want {
				t.Errorf("cause %q, want %q", got, test.want)
			}
		})
	}
}

func TestKilled(t *testing.T) {
	for said, want := range map[string]bool{
		"Killed\n":                                true,
		"subprocess exited on killed\nexit 1\n":   true, // of a step that is one command, by the shell's exec
		"the process has exited with code 137\n":  true,
		"npm ERR! signal SIGKILL\n":               true,
		"a bug was killed today\nexit status 1\n": false,
	} {
		o := newOutput(nil)
		_, _ = o.Write([]byte(said))
		if got := o.Killed(); got != want {
			t.Errorf("%q: %v", said, got)
		}
	}
}
