package git

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"towline/daemon"
)

// Git that does not end is ended, and leaves nothing of the repository.
func TestGitIsLate(t *testing.T) {
	r := NewRepositories(filepath.Join(t.TempDir(), "git"), os.Getuid(), os.Getgid())
	r.limit = 1 // nanosecond
	var e *daemon.Error
	if err := r.Create(t.Context(), "shop"); !errors.As(err, &e) || e.Kind != daemon.Failed {
		t.Errorf("got %v", err)
	}
	if entries, err := os.ReadDir(r.dir); err != nil || len(entries) > 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
	r.limit = gitLimit
	if err := r.Create(t.Context(), "shop"); err != nil {
		t.Error(err)
	}
}
