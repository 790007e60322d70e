package plugins

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Catalog is the services that can be added.
type Catalog struct{ services map[string]*Manifest }

// Load reads every plugin below the directories; of two with one name the later
// directory's counts. What is wrong with some is the error; the Catalog then has the
// others.
func Load(dirs ...string) (*Catalog, error) {
	c := &Catalog{services: map[string]*Manifest{}}
	var errs []error
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		errs = append(errs, err)
		for _, e := range entries {
			path := filepath.Join(dir, e.Name(), FileName)
			if _, err := os.Stat(path); err != nil {
				continue
			}
			m, err := LoadFile(path)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			c.services[m.Name] = m
		}
	}
	return c, errors.Join(errs...)
}

// Service returns the manifest of a name.
func (c *Catalog) Service(name string) (*Manifest, bool) {
	m, ok := c.services[name]
	return m, ok
}

// Names lists the services in alphabetical order.
func (c *Catalog) Names() []string { return slices.Sorted(maps.Keys(c.services)) }

// LoadFile reads and checks one manifest. Every fault is told with file and line, as
// many as can be at once.
func LoadFile(path string) (*Manifest, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := &Manifest{path: path, text: string(text)}
	md, err := toml.Decode(m.text, m)
	if err != nil {
		var pe toml.ParseError
		if errors.As(err, &pe) {
			return nil, fmt.Errorf("%s:%d: %s", path, pe.Position.Line, strings.TrimPrefix(pe.Message, "toml: "))
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var errs []error
	for _, key := range md.Undecoded() {
		errs = append(errs, m.fault(key[len(key)-1], "unknown key %q", key.String()))
	}
	if err := errors.Join(append(errs, m.check()...)...); err != nil {
		return nil, err
	}
	return m, nil
}

// fault is an error at the first line on which word stands as a key or a value.
func (m *Manifest) fault(word, format string, args ...any) error {
	line := 1
	for i, text := range strings.Split(m.text, "\n") {
		key, _, _ := strings.Cut(strings.TrimSpace(text), "=")
		key = strings.Trim(strings.TrimSpace(key), `"'[] `)
		if key == word || strings.HasSuffix(key, "."+word) || strings.Contains(text, `"`+word+`"`) {
			line = i + 1
			break
		}
	}
	return fmt.Errorf("%s:%d: %s", m.path, line, fmt.Sprintf(format, args...))
}
