package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"towline/e2e/database"
	"towline/e2e/stack"
)

// byHand are the command lines that docs/backups.md gives for a restore without Towline,
// those that are for all services and for one.
func byHand(t *testing.T, service string) string {
	t.Helper()
	root, err := stack.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "backups.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, part, found := strings.Cut(string(text), "Where there is no Towline any more")
	if !found {
		t.Fatal("docs/backups.md does not say how to restore by hand")
	}
	var script strings.Builder
	for _, paragraph := range strings.Split(part, "\n\n") {
		if strings.HasPrefix(paragraph, "    cd ") || strings.HasPrefix(paragraph, "    podman run -d --name "+service) {
			script.WriteString(paragraph + "\n")
		}
	}
	return script.String()
}

// TestByHand does what docs/backups.md says, word by word but for the names of what it
// makes, its ports, and where images come from.
func TestByHand(t *testing.T) {
	t.Parallel()
	for service, image := range map[string]string{"redis": "localhost/towline/redis:7", "neo4j": "localhost/towline/neo4j:5.26-community"} {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && service == "neo4j" {
				t.Skip("short")
			}
			s := ownStack(t, stack.Options{})
			db := newDatabase(t, s, "hand", service)
			for n := range int64(3) {
				if err := db.Add(n + 1); err != nil {
					t.Fatal(err)
				}
			}
			b := capture(t, s, service+"-hand")
			name := s.Name + "-byhand"
			script := strings.NewReplacer(
				"cd BACKUP", "cd "+filepath.Join(s.Dir, "state", "backups", b.ID),
				"volume create restored", "volume create "+name, "inspect restored", "inspect "+name, "-v restored:", "-v "+name+":",
				"--name "+service, "--name "+name, " -p 127.0.0.1:6379:6379", "", " -p 127.0.0.1:7474:7474 -p 127.0.0.1:7687:7687", "",
				"docker.io/library/redis:7", image, "docker.io/library/neo4j:5-community", image,
			).Replace(byHand(t, service))
			t.Cleanup(func() {
				_, err := stack.Podman("rm", "-f", "-v", "-t", "0", "--ignore", name)
				if err == nil {
					_, err = stack.Podman("volume", "rm", "-f", name)
				}
				if err != nil {
					t.Error(err)
				}
			})
			var trace strings.Builder // of commands that run side by side
			cmd := exec.Command("sh", "-exc", script)
			cmd.Stderr = &trace
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s\n%s\n%s", err, script, out, trace.String())
			}
			manifest, err := os.ReadFile(filepath.Join(s.Dir, "state", "backups", b.ID, "manifest.json"))
			if err != nil {
				t.Fatal(err)
			}
			sums := 0
			for _, line := range strings.Split(string(out), "\n") {
				sum, file, ok := strings.Cut(line, "  ")
				if !ok || !strings.HasSuffix(file, ".zst") {
					continue
				}
				if sums++; !strings.Contains(string(manifest), sum) {
					t.Errorf("manifest.json has no sum %s of %s", sum, file)
				}
			}
			if sums < 2 {
				t.Errorf("%d sums: %s", sums, out)
			}
			url := strings.TrimSpace(admin(t, s, "config:get "+map[string]string{"redis": "REDISCLOUD_URL", "neo4j": "GRAPHENEDB_URL"}[service]+" -a hand"))
			if service == "redis" {
				url = "redis://default:any@h:6379" // its data has no credentials
			}
			restored := database.Open(url, func() (string, error) {
				out, err := stack.Podman("inspect", "--format", "{{.NetworkSettings.IPAddress}}", name)
				return strings.TrimSpace(out), err
			})
			eventually(t, func() string {
				if last, count, err := restored.Last(); err != nil || last != 3 || count != 3 {
					return "by hand there is not what there was"
				}
				return ""
			})
		})
	}
}
