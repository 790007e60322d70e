package build

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// appState is what is remembered of an app's Dockerfile builds, next to their
// store. Losing it costs one slow build.
type appState struct {
	// Bases are the unpacked images that layers in the store rest upon.
	Bases []foundation `json:"foundations,omitempty"`
	// Image is the newest that was handed to the engine, and Layers are its.
	Image  string  `json:"image,omitempty"`
	Layers []layer `json:"layers,omitempty"`
	// Builds counts them, and Steps tells for each image in the store in which
	// one it was last of use.
	Builds int            `json:"builds"`
	Steps  map[string]int `json:"steps,omitempty"`
	// Dirty is set while a build runs: one that was killed leaves containers in
	// the store.
	Dirty bool `json:"dirty,omitempty"`
}

// foundation names an image in a store of its own, as it was unpacked one time.
type foundation struct {
	ID        string `json:"id"`
	Unpacking string `json:"unpacking"`
}

const (
	keepBuilds = 5 // a step that this many builds had no use for is forgotten
	keepBases  = 4 // a store that rests upon more is begun anew
)

// readAppState reads an app's state. An absent or damaged one is empty.
func readAppState(dir string) (appState, error) {
	var state appState
	text, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return state, nil
	}
	if err != nil {
		return state, err
	}
	if json.Unmarshal(text, &state) != nil {
		return appState{}, nil
	}
	return state, nil
}

func (s *appState) write(dir string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(dir, "state.json"), text)
}

// used notes that the build that runs had use for an image of the store.
func (s *appState) used(id string) {
	if s.Steps == nil {
		s.Steps = map[string]int{}
	}
	s.Steps[id] = s.Builds
}

// stale takes out the images that were of no use for a while, those of later
// builds first, as they may rest upon the earlier.
func (s *appState) stale() (ids []string) {
	for id, build := range s.Steps {
		if build <= s.Builds-keepBuilds {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int { return s.Steps[b] - s.Steps[a] })
	for _, id := range ids {
		delete(s.Steps, id)
	}
	return ids
}
