package memory_test

import (
	"fmt"
	"io"
	"strconv"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/contract"
	"towline/daemon/memory"
)

// probe does what the program of Podman's test image does: see contract.Bench.
func probe(p memory.Process) int {
	if p.Args[0] != "/probe" {
		return 127
	}
	var ignored bool
	ends := func(after <-chan time.Time) (code int, ended bool) {
		terminated := p.Terminated
		if ignored {
			terminated = nil
		}
		select {
		case <-after:
			return 0, false
		case <-terminated:
			return memory.Terminated, true
		case <-p.Killed:
			return 0, true
		}
	}
	for args := p.Args[1:]; len(args) > 0; {
		verb, operand := args[0], ""
		if args = args[1:]; len(args) > 0 {
			operand = args[0]
		}
		switch verb {
		case "out", "err", "exit", "nap", "env":
			args = args[1:]
		}
		switch verb {
		case "out":
			fmt.Fprint(p.Stdout, operand)
		case "err":
			fmt.Fprint(p.Stderr, operand)
		case "env":
			fmt.Fprintln(p.Stdout, p.Env[operand])
		case "exit":
			code, _ := strconv.Atoi(operand)
			return code
		case "cat":
			_, _ = io.Copy(p.Stdout, p.Stdin)
		case "ignore":
			ignored = true
			fmt.Fprintln(p.Stdout, "ready")
		case "sleep":
			code, _ := ends(nil)
			return code
		case "nap":
			d, _ := time.ParseDuration(operand)
			if code, ended := ends(time.After(d)); ended {
				return code
			}
		}
	}
	return 0
}

func TestEngine(t *testing.T) {
	e := memory.NewEngine("towline-test", t.TempDir(), probe)
	t.Cleanup(e.Close)
	const image = "localhost/towline-test/probe:1"
	e.AddImage(daemon.Image{Refs: []string{image}, Entrypoint: []string{"/probe"}})
	contract.Engine(t, contract.Bench{Engine: e, Name: "towline-test", Image: image,
		NewImage: func(t *testing.T, ref string) daemon.Image { return e.AddImage(daemon.Image{Refs: []string{ref}}) }})
}
