package plugins

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/BurntSushi/toml"
	"golang.org/x/sys/unix"

	"towline/daemon/nesting"
)

// Catalog is the services that can be added. Its methods may be called at any time.
type Catalog struct {
	dirs []string

	mu       sync.RWMutex
	services map[string]*Manifest
	trial    map[string]*Manifest // see Try
}

// Load reads every plugin below the directories; of two with one name the later
// directory's counts. What is wrong with some is the error; the Catalog then has the
// others.
func Load(dirs ...string) (*Catalog, error) {
	c := &Catalog{dirs: dirs, trial: map[string]*Manifest{}}
	return c, c.Reload()
}

// Reload reads the directories anew.
func (c *Catalog) Reload() error {
	services := map[string]*Manifest{}
	var errs []error
	for _, dir := range c.dirs {
		entries, err := os.ReadDir(dir)
		errs = append(errs, err)
		for _, e := range entries {
			path := filepath.Join(dir, e.Name(), FileName)
			if _, err := os.Stat(path); err != nil || strings.HasPrefix(e.Name(), ".") {
				continue
			}
			m, err := LoadFile(path)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			if other, ok := services[m.Name]; ok && filepath.Dir(other.Dir()) == filepath.Clean(dir) {
				errs = append(errs, m.fault(m.Name, "name %q is taken by %s", m.Name, other.path))
				continue
			}
			services[m.Name] = m
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.services = services
	return errors.Join(errs...)
}

// Service returns the manifest of a name.
func (c *Catalog) Service(name string) (*Manifest, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if m, ok := c.trial[name]; ok {
		return m, true
	}
	m, ok := c.services[name]
	return m, ok
}

// Names lists the services in alphabetical order.
func (c *Catalog) Names() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Sorted(maps.Keys(c.services))
}

// Try has Service, but not Names, know a manifest by another name until forget is
// called.
func (c *Catalog) Try(name string, m *Manifest) (forget func()) {
	trial := *m
	trial.Name = name
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trial[name] = &trial
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.trial, name)
	}
}

// LoadFile reads and checks one manifest. Every fault is told with file and line, as
// many as can be at once.
func LoadFile(path string) (*Manifest, error) {
	text, err := readManifest(path)
	if err != nil {
		return nil, err
	}
	m := &Manifest{path: path, text: string(text)}
	if line := nesting.TOML(m.text); line > 0 {
		return nil, fmt.Errorf("%s:%d: this is nested more than %d deep", path, line, nesting.Max)
	}
	md, err := toml.Decode(m.text, m)
	if err != nil {
		var pe toml.ParseError
		if errors.As(err, &pe) {
			return nil, fmt.Errorf("%s:%d: %s", path, pe.Position.Line, strings.TrimPrefix(pe.Message, "toml: "))
		}
		// A value of a wrong type: the parser tells the line in its text alone.
		if line := lineInError.FindStringSubmatch(err.Error()); line != nil {
			return nil, fmt.Errorf("%s:%s: %s: %s", path, line[1], line[2], line[3])
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var errs []error
	for _, key := range md.Undecoded() {
		errs = append(errs, fmt.Errorf("%s:%d: unknown key %q", path, m.lineOfKey(key), key.String()))
	}
	if err := errors.Join(append(errs, m.check()...)...); err != nil {
		return nil, err
	}
	return m, nil
}

// readManifest reads a file, and no link: a stranger's could lead to any file, and
// what is wrong with that would be told line by line.
func readManifest(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s:1: this is a link: the manifest must be a file", path)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s:1: the manifest must be a file", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err == nil && len(text) > maxManifest {
		err = fmt.Errorf("%s:1: the manifest is larger than %d KB", path, maxManifest>>10)
	}
	return text, err
}

var lineInError = regexp.MustCompile(`^toml: line (\d+) \(last key "(.*)"\): (.*)$`)

// fault is an error at the line on which word stands as a name, or at the first on
// which it stands as a key or another value.
func (m *Manifest) fault(word, format string, args ...any) error {
	line := 1
	if i := strings.Index(m.text, fmt.Sprintf("\nname = %q\n", word)); i >= 0 {
		return fmt.Errorf("%s:%d: %s", m.path, 2+strings.Count(m.text[:i], "\n"), fmt.Sprintf(format, args...))
	}
	for i, text := range strings.Split(m.text, "\n") {
		if text = strings.TrimSpace(text); text == "" || text[0] == '#' {
			continue
		}
		key := keyOf(text)
		if word != "" && (key == word || strings.HasSuffix(key, "."+word) || strings.Contains(text, `"`+word+`"`)) {
			line = i + 1
			break
		}
	}
	return fmt.Errorf("%s:%d: %s", m.path, line, fmt.Sprintf(format, args...))
}

// keyOf is what a line of TOML is about: the key before "=", or the table.
func keyOf(line string) string {
	key, _, _ := strings.Cut(line, "=")
	return strings.Trim(strings.TrimSpace(key), `"'[] `)
}

// lineOfKey is the line on which a key stands, in the table that it belongs to; else,
// inside a value, the first line that has its last part.
func (m *Manifest) lineOfKey(key toml.Key) int {
	last, table, near := key[len(key)-1], "", 0
	for i, text := range strings.Split(m.text, "\n") {
		text = strings.TrimSpace(text)
		if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") && !strings.Contains(text, "=") {
			if table = keyOf(text); table == key.String() {
				return i + 1
			}
			continue
		}
		name := table + "." + keyOf(text)
		if strings.TrimPrefix(name, ".") == key.String() {
			return i + 1
		}
		if near == 0 && !strings.HasPrefix(text, "#") && strings.Contains(text, last) {
			near = i + 1
		}
	}
	return max(near, 1)
}
