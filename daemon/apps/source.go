package apps

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"towline/daemon"
	"towline/daemon/appjson"
)

// sourceSays is what source says of itself.
type sourceSays struct {
	procfile map[string]string // nil when there is none
	manifest appjson.File
	notes    []string // for the pusher
}

// readSource reads the Procfile and app.json of unpacked source.
func readSource(dir string) (says sourceSays, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return says, err
	}
	defer root.Close()
	if says.notes, err = misspelt(root); err != nil {
		return says, err
	}
	says.notes = append(says.notes, elsewhere(root)...)
	text, err := readSmall(root, "Procfile")
	if err != nil {
		return says, err
	}
	if text != nil {
		if says.procfile, err = ParseProcfile(string(text)); err != nil {
			return says, err
		}
		says.notes = append(says.notes, windowsScripts(root, says.procfile)...)
	}
	if text, err = readSmall(root, "app.json"); err != nil || text == nil {
		return says, err
	}
	says.manifest, err = appjson.Parse(text)
	return says, err
}

// misspelt tells of files at the top that would count if their names had other
// letters.
func misspelt(root *os.Root) (notes []string, err error) {
	entries, err := fs.ReadDir(root.FS(), ".")
	for _, e := range entries {
		for _, name := range []string{"Procfile", "Dockerfile", "app.json"} {
			if e.Name() == name || !strings.EqualFold(e.Name(), name) {
				continue
			}
			if _, err := root.Lstat(name); errors.Is(err, os.ErrNotExist) {
				notes = append(notes, fmt.Sprintf("the file %s is not looked at: its name must be %s\ngit mv %[1]s %[2]s", e.Name(), name))
			}
		}
	}
	return notes, err
}

// ofOthers are files by which other platforms are told what to do, with what has it here.
var ofOthers = []struct{ names, here string }{
	{"render.yaml railway.json railway.toml nixpacks.toml fly.toml", "commands go into a Procfile, config vars into app.json"},
	{"DOKKU_SCALE", "\"formation\" in app.json says how many processes of a type run"},
	{"CHECKS", "\"healthchecks\" in app.json says how an app is looked at"},
	{".buildpacks", "project.toml names buildpacks"},
	{"Aptfile", "a Dockerfile installs packages of the system"},
}

// elsewhere tells of such files at the top.
func elsewhere(root *os.Root) (notes []string) {
	for _, o := range ofOthers {
		var there []string
		for name := range strings.FieldsSeq(o.names) {
			if info, err := root.Lstat(name); err == nil && info.Mode().IsRegular() {
				there = append(there, name)
			}
		}
		if len(there) > 0 {
			notes = append(notes, strings.Join(there, ", ")+" has no effect here: "+o.here)
		}
	}
	return notes
}

// windowsScripts tells of scripts that the Procfile starts whose first line ends as on Windows: a
// shell says of one that it is not found.
func windowsScripts(root *os.Root, procfile map[string]string) (notes []string) {
	for _, process := range daemon.SortedKeys(procfile) {
		words := strings.Fields(procfile[process])
		if words[0] == "exec" && len(words) > 1 {
			words = words[1:]
		}
		name := path.Clean(words[0])
		if !filepath.IsLocal(name) || !strings.Contains(words[0], "/") {
			continue
		}
		if first := firstLine(root, name); strings.HasPrefix(first, "#!") && strings.HasSuffix(first, "\r\n") {
			notes = append(notes, fmt.Sprintf("%s has the line ends of Windows, and no first line of a script ends so\n"+
				"echo '* text=auto eol=lf' >> .gitattributes; git add --renormalize .; commit and push again", daemon.Clip(name)))
		}
	}
	return slices.Compact(notes)
}

// firstLine is the beginning of a plain file, up to the end of its first line.
func firstLine(root *os.Root, name string) string {
	info, err := root.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return ""
	}
	f, err := root.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	line, _ := bufio.NewReader(io.LimitReader(f, 256)).ReadString('\n')
	return line
}

// readSmall reads a file of the source, never through a link that leads out of it.
// An absent one is nil.
func readSmall(root *os.Root, name string) ([]byte, error) {
	f, err := root.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, unreadable(name)
	}
	defer f.Close()
	const limit = 1 << 20
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil || len(text) > limit {
		return nil, unreadable(name)
	}
	return text, nil
}

func unreadable(name string) error {
	return daemon.Errorf(daemon.Invalid, "%s is not a file of at most 1 MiB", name).WithHint("commit it as a plain file at the top of the repository")
}
