package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"towline/proxy/control"
	"towline/proxy/durable"
)

// stateVersion is that of the files below; a file with a later one is from the
// future and left alone.
const stateVersion = 1

// state keeps each service in a file of its own below routes/: a change then
// costs the same among 1,000 services as among 10, and a file that is damaged
// takes no other service with it.
type state struct{ dir string }

type stateFile struct {
	Version int             `json:"version"`
	Service control.Service `json:"service"`
}

func openState(dir string) (*state, error) {
	s := &state{dir: filepath.Join(dir, "routes")}
	return s, os.MkdirAll(s.dir, 0o700)
}

func (s *state) path(name string) string { return filepath.Join(s.dir, name+".json") }

// save returns once the service is on disk.
func (s *state) save(service control.Service) error {
	text, err := json.MarshalIndent(stateFile{stateVersion, service}, "", "\t")
	if err != nil {
		return err
	}
	return durable.Write(s.path(service.Name), append(text, '\n'), 0o600)
}

func (s *state) remove(name string) error {
	err := os.Remove(s.path(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return durable.SyncDir(s.dir)
}

// load returns every service that can be read, and one error for each file
// that cannot. Such a file is kept: what cannot be read may still be wanted.
func (s *state) load() (list []control.Service, problems []error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, []error{err}
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			if strings.HasPrefix(e.Name(), durable.TempPrefix) {
				_ = os.Remove(filepath.Join(s.dir, e.Name()))
			}
			continue
		}
		service, err := readState(s.path(name))
		if err == nil && service.Name != name {
			err = fmt.Errorf("%s is of service %q", s.path(name), service.Name)
		}
		if err != nil {
			problems = append(problems, err)
			continue
		}
		list = append(list, service)
	}
	return list, problems
}

func readState(path string) (control.Service, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return control.Service{}, err
	}
	var f stateFile
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&f); err != nil {
		return control.Service{}, fmt.Errorf("%s is damaged: %w", path, err)
	}
	if f.Version > stateVersion {
		return control.Service{}, fmt.Errorf("%s has version %d, written by a newer towline-proxy", path, f.Version)
	}
	return f.Service, nil
}
