package journeys

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"towline/daemon/memory"
)

// programs are all that runs in the containers of a world: the processes of apps, which do
// nothing, and the service of testdata/addons/store, whose data are two files: the passwords
// that it takes, and its keys.
type programs struct {
	mu       sync.Mutex
	prepared map[string]bool // containers whose service was told of a snapshot, and not of its end
	refuses  func(env map[string]string) bool
	ran      []string // what has ended well or not: kind, process and command
}

func (s *programs) run(p memory.Process) int {
	switch {
	case p.Args[0] == "store" && p.Labels["towline.test"] != "": // whose data are in memory
		if p.Args[1] == "serve" {
			return wait(p)
		}
		return 0
	case p.Args[0] == "store":
		return s.store(p)
	case p.Labels["towline.test"] != "":
		return tests(p)
	case p.Labels["towline.kind"] == "process":
		return wait(p)
	}
	if token := p.Env["TOKEN"]; token != "" {
		fmt.Fprintln(p.Stdout, "token", token)
	}
	fmt.Fprintln(p.Stdout, "done")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ran = append(s.ran, p.Labels["towline.kind"]+" "+p.Labels["towline.process"]+" "+p.Args[len(p.Args)-1])
	if s.refuses != nil && s.refuses(p.Env) {
		return 1
	}
	return 0
}

// ranOf are the processes and commands of that kind which have ended, in order.
func (s *programs) ranOf(kind string) (ran []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range s.ran {
		if what, ok := strings.CutPrefix(line, kind+" "); ok {
			ran = append(ran, what)
		}
	}
	return ran
}

// refuse has release phases fail whose environment is like that.
func (s *programs) refuse(f func(env map[string]string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuses = f
}

func wait(p memory.Process) int {
	select {
	case <-p.Terminated:
		return memory.Terminated
	case <-p.Killed:
		return 0
	}
}

func passwords(dir string) []string { return lines(filepath.Join(dir, "passwords")) }
func keys(dir string) []string      { return lines(filepath.Join(dir, "keys")) }

func lines(path string) []string {
	text, _ := os.ReadFile(path)
	return strings.Fields(string(text))
}

func (s *programs) store(p memory.Process) int {
	data := p.Mounts["/data"]
	put := func(file string, words ...string) {
		// In one step; and the volume may be gone, if the container is being removed.
		path := filepath.Join(data, file)
		if os.WriteFile(path+".new", []byte(strings.Join(words, "\n")), 0o600) == nil {
			_ = os.Rename(path+".new", path)
		}
	}
	switch verb := p.Args[1]; verb {
	case "serve":
		if len(passwords(data)) == 0 { // the first start
			put("passwords", p.Env["PASSWORD"])
		}
		return wait(p)
	case "import":
		text, err := io.ReadAll(p.Stdin)
		if err != nil {
			return 1
		}
		put("keys", string(text))
		return 0
	}
	if !slices.Contains(passwords(data), p.Env["AUTH"]) {
		fmt.Fprintln(p.Stderr, "wrong password")
		return 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch p.Args[1] {
	case "snapshot":
		s.prepared[p.Container] = true
	case "thawed":
		delete(s.prepared, p.Container)
	case "verify":
		fmt.Fprintln(p.Stdout, "keys", len(keys(data)))
	case "sample":
		put("keys", append(keys(data), fmt.Sprint("key", len(keys(data))))...)
	case "export":
		fmt.Fprint(p.Stdout, strings.Join(keys(data), "\n"))
	case "rotate":
		if !slices.Contains(passwords(data), p.Env["NEW"]) {
			put("passwords", append(passwords(data), p.Env["NEW"])...)
		}
	case "retire":
		put("passwords", p.Env["NEW"])
	}
	return 0
}
