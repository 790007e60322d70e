package build_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestExamples builds the apps that newcomers push, then again after a change.
func TestExamples(t *testing.T) {
	f := newFixture(t, builderImage, lifecycleImage, runImage)
	f.trustMachine()
	for name, mark := range map[string]string{"rails": "config.ru", "node": "package.json"} {
		t.Run(name, func(t *testing.T) {
			example, err := filepath.Abs(filepath.Join("../../examples", name))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(example, mark)); err != nil {
				t.Skipf("no example: %v", err)
			}
			for _, change := range []string{"", "changed"} {
				source := f.source(nil)
				if out, err := exec.Command("cp", "-a", example+"/.", source).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				if err := os.WriteFile(filepath.Join(source, "change"), []byte(change), 0o644); err != nil {
					t.Fatal(err)
				}
				result := f.mustBuild("example-"+name, source, map[string]string{"SECRET_KEY_BASE": "0123456789abcdef"})
				if result.Processes["web"] == "" {
					t.Errorf("processes %v", result.Processes)
				}
				f.says(result, "cat change", change)
			}
		})
	}
}
