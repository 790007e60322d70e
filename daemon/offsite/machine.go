package offsite

import (
	"context"
	"io"
	"path/filepath"
	"strconv"

	"towline/daemon"
)

// machineTag is that of backups of the whole machine. No backup of an add-on has such an ID.
const machineTag = "machine"

// SendMachine copies a backup of the whole machine, which is one file, and then lets those go
// that are older than the newest keep; 0: none goes. The file has the same path each time, by
// which restic dump finds it: see docs/disaster.md.
func (s *Offsite) SendMachine(ctx context.Context, path string, keep int) (err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.prepare(ctx); err != nil {
		return err
	}
	defer s.lookAgain(&err)
	if _, err = s.restic(ctx, "backup", "--quiet", "--host", host, "--tag", machineTag, path); err != nil {
		return err
	}
	if keep < 1 {
		return nil
	}
	s.pruning.Lock()
	defer s.pruning.Unlock()
	_, err = s.restic(ctx, "forget", "--quiet", "--prune", "--tag", machineTag, "--group-by", "tags", "--keep-last", strconv.Itoa(keep))
	return err
}

// FetchMachine writes the newest backup of the whole machine to w. A lock that the lost machine
// left in the repository does not stop it.
func (s *Offsite) FetchMachine(ctx context.Context, w io.Writer) error {
	s.pruning.RLock()
	defer s.pruning.RUnlock()
	list, err := s.list(ctx, machineTag)
	if err != nil {
		return err
	}
	if len(list) == 0 || len(list[len(list)-1].Paths) != 1 {
		return daemon.Errorf(daemon.NotFound, "there is no backup of a machine at %s", s.Place()).WithHint("towline host:backup --to offsite sends one")
	}
	newest := list[len(list)-1]
	return s.stream(ctx, w, "dump", "--quiet", "--no-lock", newest.ID, filepath.Clean(newest.Paths[0]))
}
