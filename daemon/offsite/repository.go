package offsite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"towline/daemon"
)

// repository is the one that was used last, in STATE/offsite.json. Where its disk or share is
// not mounted there seems to be none: a new one made in its place would be empty, take the
// next copies, and nobody would look for the old ones.
type repository struct {
	Place string `json:"place"`
	ID    string `json:"id"`
}

func (s *Offsite) usedPath() string { return filepath.Join(filepath.Dir(s.o.Dir), "offsite.json") }

// used is the ID of the repository that was used at this place; empty: none.
func (s *Offsite) used() (string, error) {
	text, err := os.ReadFile(s.usedPath())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	var r repository
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.usedPath(), err)
	}
	if r.Place != s.o.Repository {
		return "", nil
	}
	return r.ID, nil
}

func (s *Offsite) noteUsed(id string) error {
	text, err := json.Marshal(repository{s.o.Repository, id})
	if err != nil {
		return err
	}
	tmp := s.usedPath() + ".new"
	return errors.Join(os.WriteFile(tmp, text, 0o600), os.Rename(tmp, s.usedPath()))
}

// there is the ID of the repository that is there.
func (s *Offsite) there(ctx context.Context) (string, error) {
	text, err := s.ask(ctx, "cat", "config")
	if err != nil {
		return "", err
	}
	var config struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return "", fmt.Errorf("restic cat config: %w", err)
	}
	return config.ID, nil
}

// prepare makes the repository if there never was one. A lock that an earlier upload left
// behind when it was killed goes.
func (s *Offsite) prepare(ctx context.Context) error {
	if s.ready {
		return nil
	}
	used, err := s.used()
	if err != nil {
		return err
	}
	id, err := s.there(ctx)
	switch {
	case used != "" && err != nil:
		return daemon.Errorf(daemon.Failed, "the repository at %s, which was there before, can't be opened: %w", s.Place(), err).
			WithHint("is its disk or share mounted? Where a new one is to be made: rm %s", s.usedPath())
	case used != "" && id != used:
		return daemon.Errorf(daemon.Failed, "the repository at %s is not the one that was there before", s.Place()).
			WithHint("is its disk or share mounted? Where this one is to be used: rm %s", s.usedPath())
	case err != nil:
		// Only restic knows whether a repository is absent or out of reach; init
		// refuses the one and fails at the other.
		if _, ierr := s.ask(ctx, "init"); ierr != nil {
			return errors.Join(err, ierr)
		}
		if id, err = s.there(ctx); err != nil {
			return err
		}
	}
	if used == "" {
		if err := s.noteUsed(id); err != nil {
			return err
		}
	}
	if _, err := s.ask(ctx, "unlock"); err != nil {
		return err
	}
	s.ready = true
	return nil
}
