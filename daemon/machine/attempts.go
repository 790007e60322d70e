package machine

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"towline/daemon"
)

// attempts is a file that says what the daemon is about to start or to recover, so that a
// daemon that goes down with it (out of memory, say, which nothing can contain) knows
// that at its next start. What it went down with once comes last and alone; what it went
// down with twice is left out of one start, so that the others have theirs.
type attempts struct {
	path string

	mu     sync.Mutex
	counts map[string]int  // since it was last through with it
	before map[string]bool // those of them that an earlier start left
}

// fatalAttempts is how many starts may end with one thing.
const fatalAttempts = 2

// open reads what earlier starts have left. A file that cannot be read is none.
func (a *attempts) open(dir string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.path != "" {
		return // Reconcile is called again when Podman was away
	}
	a.path = filepath.Join(dir, "starting.json")
	a.counts, a.before = map[string]int{}, map[string]bool{}
	text, err := os.ReadFile(a.path)
	if err == nil && json.Unmarshal(text, &a.counts) != nil || a.counts == nil {
		a.counts = map[string]int{}
	}
	for name := range a.counts {
		a.before[name] = true
	}
}

// suspect tells whether an earlier start ended with name.
func (a *attempts) suspect(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.before[name]
}

// begin notes that name is about to be tried, until ended is called. It is false for what
// must not be: the start after this one tries that once more.
func (a *attempts) begin(name string) (ended func(), ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.before[name] && a.counts[name] >= fatalAttempts {
		a.counts[name] = fatalAttempts - 1
		a.save()
		return nil, false
	}
	a.counts[name]++
	a.save()
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.counts, name)
		delete(a.before, name)
		a.save()
	}, true
}

// save writes the file. It need not outlive the machine: only the daemon. If it can't be
// written, a start that fails twice fails a third time.
func (a *attempts) save() {
	text, err := json.Marshal(a.counts)
	if err != nil {
		return
	}
	next := a.path + ".new"
	if os.WriteFile(next, text, 0o600) == nil {
		_ = os.Rename(next, a.path)
	}
}

// attemptOf is what an operation is called among the attempts.
func attemptOf(op daemon.Operation) string { return fmt.Sprintf("operation:%d", op.ID) }
