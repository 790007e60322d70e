package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"towline/daemon/shell"
	"towline/e2e/stack"
)

// TestStories runs testdata/*.txtar. Next to testscript's own commands a story has
// those that its reader would type:
//
//	towline, ssh, git, curl   the real programs, set up for the stack
//	as NAME                   go on with the key of that member
//	keygen NAME               makes a key, NAME.pub
//	cable APP TEXT            sends a text through an app's ActionCable, and prints its echo
//	compile PACKAGE FILE      builds a program of this directory
//	grpc APP METHOD TEXT      calls an app that grpcapp serves
//	deploy APP                creates the app and pushes the folder of its name
//	terminal CMD...           runs a command in a terminal of 24 lines by 80 columns
//	exits N CMD...            the command ends with exit code N
//	until PATTERN CMD...      repeats the command until its output has the pattern
//	let NAME CMD...           keeps what the command prints as $NAME
func TestStories(t *testing.T) {
	t.Parallel()
	s := sharedStack(t)
	root, err := stack.Root()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Vars = append(env.Vars, storyEnv(s, stack.Admin)...)
			env.Setenv("PATH", filepath.Join(s.Dir, "bin")+":"+os.Getenv("PATH"))
			env.Setenv("EXAMPLES", filepath.Join(root, "examples"))
			env.Setenv("REMOTE", strings.TrimSuffix(s.Remote(""), "/"))
			env.Setenv("ROOT", s.RootFile())
			env.Setenv("HTTP", strconv.Itoa(s.HTTPPort))
			env.Setenv("HTTPS", strconv.Itoa(s.HTTPSPort))
			env.Setenv("ADDRESS", fmt.Sprintf("%s:%d", stack.Destination, s.SSHPort))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"towline": program(s, "towline"), "ssh": program(s, "ssh"), "git": program(s, "git"), "curl": program(s, "curl"),
			"terminal": program(s, "terminal"), "exits": exits(s), "until": until(s), "deploy": deploy(s),
			"compile": compile, "grpc": program(s, "grpc"),
			"as": as(s), "keygen": keygen(s), "let": let(s), "cable": cable(s),
		},
	})
}

// storyEnv is what a member's laptop would be set up with.
func storyEnv(s *stack.Stack, member string) []string {
	env := []string{
		"MEMBER=" + member,
		"TOWLINE_HOST=" + fmt.Sprintf("%s:%d", stack.Destination, s.SSHPort),
		"TOWLINE_SSH=" + strings.Join(s.SSHCommand(member), " "),
	}
	for _, v := range s.GitEnv(member) {
		if strings.HasPrefix(v, "GIT_") {
			env = append(env, v)
		}
	}
	return env
}

// command is the real command line of what a story writes.
func command(ts *testscript.TestScript, s *stack.Stack, args []string) []string {
	switch args[0] {
	case "ssh":
		return append(s.SSHCommand(ts.Getenv("MEMBER"), stack.Destination), args[1:]...)
	case "curl":
		proxy := fmt.Sprintf("::127.0.0.1:%d", s.HTTPSPort)
		return append([]string{"curl", "-sS", "--max-time", "60", "--cacert", s.RootFile(), "--connect-to", proxy}, args[1:]...)
	case "grpc":
		if len(args) != 4 {
			ts.Fatalf("usage: grpc APP METHOD TEXT")
		}
		return append([]string{ts.MkAbs(args[1] + "/grpcapp"), "call", fmt.Sprintf("127.0.0.1:%d", s.HTTPSPort), args[1] + ".localhost", s.RootFile()}, args[2:]...)
	case "terminal":
		line := "stty rows 24 cols 80; exec " + quoteAll(command(ts, s, args[1:]))
		// A person who types nothing: no input, and no end of it.
		return []string{"sh", "-c", `[ -e "$WORK/idle" ] || mkfifo "$WORK/idle"; exec script -qec "$0" /dev/null <>"$WORK/idle"`, line}
	}
	return args
}

func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = shell.Protect(w)
	}
	return strings.Join(quoted, " ")
}

func execute(ts *testscript.TestScript, s *stack.Stack, args []string) error {
	argv := command(ts, s, args)
	return ts.Exec(argv[0], argv[1:]...)
}

func program(s *stack.Stack, name string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		err := execute(ts, s, append([]string{name}, args...))
		if err != nil && !neg {
			ts.Fatalf("%s: %v", name, err)
		}
		if err == nil && neg {
			ts.Fatalf("%s succeeded", name)
		}
	}
}

func exits(s *stack.Stack) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		if len(args) < 2 {
			ts.Fatalf("usage: exits N CMD...")
		}
		err := execute(ts, s, args[1:])
		code := 0
		var exited *exec.ExitError
		if errors.As(err, &exited) {
			code = exited.ExitCode()
		} else {
			ts.Check(err)
		}
		if strconv.Itoa(code) != args[0] {
			ts.Fatalf("exit code %d, want %s", code, args[0])
		}
	}
}

func until(s *stack.Stack) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if len(args) < 2 {
			ts.Fatalf("usage: until PATTERN CMD...")
		}
		pattern, err := regexp.Compile("(?m)" + args[0])
		ts.Check(err)
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			err := execute(ts, s, args[1:])
			if out := ts.ReadFile("stdout"); (err == nil && pattern.MatchString(out)) != neg {
				return
			}
			if time.Now().After(deadline) {
				ts.Fatalf("the output never came to be like %q", args[0])
			}
		}
	}
}

func let(s *stack.Stack) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		if len(args) < 2 {
			ts.Fatalf("usage: let NAME CMD...")
		}
		ts.Check(execute(ts, s, args[1:]))
		ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
	}
}

func cable(s *stack.Stack) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		if len(args) != 2 {
			ts.Fatalf("usage: cable APP TEXT")
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		echo, err := s.Cable(ctx, args[0], args[1])
		ts.Check(err)
		fmt.Fprintln(ts.Stdout(), echo)
	}
}

func deploy(s *stack.Stack) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		if len(args) != 1 {
			ts.Fatalf("usage: deploy APP")
		}
		app, dir := args[0], ts.MkAbs(args[0])
		for _, argv := range [][]string{
			{"towline", "apps:create", app},
			{"git", "-C", dir, "init", "-q", "-b", "main"},
			{"git", "-C", dir, "remote", "add", "towline", s.Remote(app)},
			{"git", "-C", dir, "add", "-A"},
			{"git", "-C", dir, "commit", "-qm", "first"},
			{"git", "-C", dir, "push", "towline", "main"},
		} {
			if err := execute(ts, s, argv); err != nil {
				ts.Fatalf("%s: %v", strings.Join(argv, " "), err)
			}
		}
	}
}

func compile(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: compile PACKAGE FILE")
	}
	ts.Check(stack.Compile(context.Background(), "./e2e/"+args[0], ts.MkAbs(args[1])))
}

func as(s *stack.Stack) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		if len(args) != 1 {
			ts.Fatalf("usage: as NAME")
		}
		for _, v := range storyEnv(s, args[0]) {
			key, value, _ := strings.Cut(v, "=")
			ts.Setenv(key, value)
		}
	}
}

func keygen(s *stack.Stack) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		if len(args) != 1 {
			ts.Fatalf("usage: keygen NAME")
		}
		ts.Check(s.Key(args[0]))
		public, err := os.ReadFile(s.KeyFile(args[0]) + ".pub")
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(args[0]+".pub"), public, 0o644))
	}
}
