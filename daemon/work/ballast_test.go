package work

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// What meets a full disk finds the ballast gone at its next try, and it is there again afterwards.
func TestInsistDropsTheBallast(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ballast")
	b := Ballast(path)
	b.Set()
	tries := 0
	err := b.Insist(t.Context(), func() error {
		if tries++; tries == 1 {
			return errors.New("the disk is full")
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the ballast is still there: %v", err)
		}
		return nil
	})
	if err != nil || tries != 2 {
		t.Errorf("%d tries, %v", tries, err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != ballastSize {
		t.Errorf("afterwards: %v, %v", info, err)
	}
}
