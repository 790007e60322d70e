package work

import "path/filepath"

// Dir is the working directory of one piece of work, below the state directory. The next start
// removes all of them.
func Dir(state, id string) string { return filepath.Join(state, "work", id) }
