package apps

import (
	"strings"
	"testing"

	"towline/daemon"
)

func TestDeploysAreDescribed(t *testing.T) {
	for subject, want := range map[string]string{
		"":                       "Deploy 01234567",
		"Add the cart":           "Deploy 01234567: Add the cart",
		"\x1b[31mred\x07\u202e":  "Deploy 01234567: [31mred",
		strings.Repeat("é", 100): "Deploy 01234567: " + strings.Repeat("é", 57) + "...",
	} {
		if got := describeDeploy("0123456789abcdef0123456789abcdef01234567", subject); got != want {
			t.Errorf("%q: %q", subject, got)
		}
	}
}

func TestOddProgram(t *testing.T) {
	own, procfile := map[string]daemon.Process{"web": {}}, map[string]daemon.Process{"web": {Entrypoint: []string{"/bin/sh"}, Args: []string{"-c", "x"}}}
	for _, c := range []struct {
		processes map[string]daemon.Process
		image     daemon.Image
		want      string
	}{
		{own, daemon.Image{Cmd: []string{"bun start", "bun migrate"}}, "bun start"},
		{own, daemon.Image{Entrypoint: []string{"npm start"}}, "npm start"},
		{own, daemon.Image{Cmd: []string{"/bin/sh", "-c", "bun start"}}, ""},
		{own, daemon.Image{Entrypoint: []string{"echo"}, Cmd: []string{"hello world"}}, ""},
		{own, daemon.Image{}, ""},
		{procfile, daemon.Image{Cmd: []string{"bun start"}}, ""},
	} {
		if got := oddProgram(c.processes, c.image); got != c.want {
			t.Errorf("%v: %q", c.image, got)
		}
	}
}
