package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"towline/e2e/stack"
)

// shortShapes are those of testdata/shapes that `make test` pushes; `make soak` pushes all.
var shortShapes = []string{"entrypoint-procfile", "port-as-written"}

// TestShapes pushes the apps of testdata/shapes, one for each shape of source that newcomers
// come with. What is before the files of each says, in this order, what is done and what comes of it:
//
//	push: TEXT              a push is taken, and says TEXT; empty: whatever it says
//	refused: TEXT           a push is refused, and says TEXT
//	towline COMMAND: TEXT   the command, of this app, comes to print TEXT; the next push is another one
//	get PATH: TEXT          the app answers with TEXT
//	part PATH N-M: TEXT     these bytes of it are TEXT
//	status PATH: N          the app answers with that status
//	websocket PATH: TEXT    the app sends TEXT back
//	gitlink DIR             the commit has a submodule at DIR
//
// A file that begins with #! may be executed, unless its name begins with "plain". $APP is the app's
// name, and ^M a carriage return.
func TestShapes(t *testing.T) {
	t.Parallel()
	s := sharedStack(t)
	paths, err := filepath.Glob("testdata/shapes/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal("no shapes", err)
	}
	names := map[string]string{}
	for _, path := range paths {
		names[strings.TrimSuffix(filepath.Base(path), ".txtar")] = path
	}
	if testing.Short() {
		all := names
		names = map[string]string{}
		for _, name := range shortShapes {
			names[name] = all[name]
		}
	}
	for name, path := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			pushShape(t, s, name, archive)
		})
	}
}

func pushShape(t *testing.T, s *stack.Stack, name string, archive *txtar.Archive) {
	shape := &shape{checkout: newApp(t, s, "sh-"+name)}
	text := strings.NewReplacer("$APP", shape.app, "^M", "\r")
	files := map[string]string{}
	for _, f := range archive.Files {
		files[f.Name] = text.Replace(string(f.Data))
	}
	shape.write(files)
	for line := range strings.Lines(text.Replace(string(archive.Comment))) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			shape.line(line)
		}
	}
	admin(t, s, "apps:destroy -a "+shape.app+" --confirm "+shape.app)
}

// shape is an app that takes the lines of TestShapes.
type shape struct {
	*checkout
	pushed *stack.Result // the last one, unless something was done since
}

// write commits the files of a shape.
func (sh *shape) write(files map[string]string) {
	sh.t.Helper()
	sh.commit(files)
	for name, text := range files {
		if strings.HasPrefix(text, "#!") && !strings.HasPrefix(filepath.Base(name), "plain") {
			if err := os.Chmod(filepath.Join(sh.dir, name), 0o755); err != nil {
				sh.t.Fatal(err)
			}
		}
	}
	sh.git("commit", "-qam", "executable", "--allow-empty")
}

func (sh *shape) line(line string) {
	t := sh.t
	t.Helper()
	what, rest, _ := strings.Cut(line, " ")
	args, want, _ := strings.Cut(rest+" ", ": ")
	want = strings.TrimSuffix(want, " ")
	switch what {
	case "push:", "refused:":
		r := sh.pushOnce()
		if (r.Code != 0) != (what == "refused:") || !strings.Contains(r.Stderr, rest) {
			t.Fatalf("%s: %s", line, r)
		}
	case "gitlink":
		if err := os.MkdirAll(filepath.Join(sh.dir, rest), 0o755); err != nil {
			t.Fatal(err)
		}
		sh.git("update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("1", 40)+","+rest)
		sh.git("commit", "-qm", "a submodule")
	case "towline":
		sh.pushed = nil
		eventually(t, func() string {
			verb, rest, _ := strings.Cut(args, " ")
			r := sh.s.SSH(t.Context(), stack.Admin, nil, verb+" -a "+sh.app+" "+rest)
			if r.Code != 0 {
				t.Fatalf("%s: %s", line, r)
			}
			return lacks(r.Stdout, want)
		})
	case "get":
		eventually(t, func() string { return lacks(sh.get(args, ""), want) })
	case "part":
		path, bytes, _ := strings.Cut(args, " ")
		if got := sh.get(path, bytes); got != want {
			t.Errorf("%s: %q", line, got)
		}
	case "status":
		if status, body, err := sh.s.Get(t.Context(), sh.app, args); err != nil || strconv.Itoa(status) != want {
			t.Errorf("%s: %d, %v: %s", line, status, err, body)
		}
	case "websocket":
		if got, err := sh.s.Echo(t.Context(), sh.app, args, want); err != nil || got != want {
			t.Errorf("%s: %q, %v", line, got, err)
		}
	default:
		t.Fatalf("%q means nothing", line)
	}
}

// lacks is a reason to wait, as long as there is one.
func lacks(text, want string) string {
	if strings.Contains(text, want) {
		return ""
	}
	return text
}

// pushOnce pushes, unless nothing was done since the last one.
func (sh *shape) pushOnce() stack.Result {
	if sh.pushed == nil {
		sh.commit(nil)
		r := sh.push()
		sh.pushed = &r
		sh.t.Logf("push: %s", r)
	}
	return *sh.pushed
}

// get is what the app answers, or those bytes of it, N-M.
func (sh *shape) get(path, bytes string) string {
	client, err := sh.s.Client(false)
	if err != nil {
		sh.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(sh.t.Context(), http.MethodGet, sh.s.URL(sh.app, path), nil)
	if err != nil {
		sh.t.Fatal(err)
	}
	if bytes != "" {
		req.Header.Set("Range", "bytes="+bytes)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}
