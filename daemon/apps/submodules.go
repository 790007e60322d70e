package apps

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"towline/daemon"
	"towline/daemon/submodule"
)

// maxSubmodules are as many as are looked at.
const maxSubmodules = 1000

// checkSubmodules refuses source in which the directory of a submodule is empty, as git
// archive leaves it: an app without those files would fail later, and nobody would know why.
func checkSubmodules(dir, app string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	text, err := readSmall(root, submodule.File)
	if err != nil || text == nil {
		return err
	}
	var missing []submodule.Submodule
	looked := map[string]bool{} // at these paths
	for _, s := range submodule.Parse(string(text)) {
		if !filepath.IsLocal(s.Path) {
			continue // git would not have it either
		}
		path := filepath.Clean(s.Path)
		if looked[path] || len(looked) == maxSubmodules {
			continue
		}
		looked[path] = true
		if isEmptyDir(root, path) {
			missing = append(missing, s)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	message, hint := submodule.Refuse(missing, app)
	return daemon.Errorf(daemon.Invalid, "%s", message).WithHint("%s", hint)
}

// isEmptyDir reads one name at most: the directory may hold any number, and be asked for often.
func isEmptyDir(root *os.Root, path string) bool {
	info, err := root.Stat(path)
	if err != nil || !info.IsDir() {
		return false
	}
	dir, err := root.Open(path)
	if err != nil {
		return false
	}
	defer dir.Close()
	_, err = dir.Readdirnames(1)
	return errors.Is(err, io.EOF)
}
