package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"towline/e2e/stack"
)

// TestConformance takes Towline's own services through an add-on's life, as
// plugins:check --run does for anybody's.
func TestConformance(t *testing.T) {
	s := sharedStack(t)
	root, err := stack.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, service := range []struct{ name, flags string }{
		{"redis", ""}, {"postgres", " --version 15"}, {"neo4j", ""},
	} {
		t.Run(service.name, func(t *testing.T) {
			if testing.Short() && service.name != "redis" {
				t.Skip("takes long")
			}
			out := admin(t, s, "plugins:check --run "+filepath.Join(root, "addons", service.name)+service.flags)
			if !strings.Contains(out, service.name+" conforms") {
				t.Error(out)
			}
			assertNoCheck(t, s)
		})
	}
}
