package e2e

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"towline/e2e/stack"
)

// served is a service with what is typed in its container to add something, and to count.
type served struct {
	flags, config string // of addons:create; the config var with the login
	add, count    func(url string, n int) []string
}

var servedBy = map[string]served{
	"redis": {
		config: "REDISCLOUD_URL",
		add:    func(url string, n int) []string { return []string{"redis-cli", "-u", url, "set", strconv.Itoa(n), "x"} },
		count:  func(url string, _ int) []string { return []string{"redis-cli", "-u", url, "dbsize"} },
	},
	"postgres": {
		flags: " --version 15", config: "DATABASE_URL",
		add: func(url string, n int) []string {
			return []string{"psql", url, "-c", fmt.Sprintf("CREATE TABLE t%d ()", n)}
		},
		count: func(url string, _ int) []string {
			return []string{"psql", url, "-Atc", "SELECT count(*) FROM pg_stat_user_tables"}
		},
	},
	"neo4j": {
		config: "GRAPHENEDB_URL",
		add:    func(url string, _ int) []string { return cypher(url, "CREATE (:N)") },
		count:  func(url string, _ int) []string { return cypher(url, "MATCH (n:N) RETURN count(n)") },
	},
}

func cypher(url, text string) []string {
	login, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "@")
	user, password, _ := strings.Cut(login, ":")
	return []string{"cypher-shell", "--format", "plain", "-u", user, "-p", password, text}
}

// TestAddonsHaveUserIDsOfTheirOwn: root of an add-on is nobody outside, while the files in
// its volumes have the owners that they have in it. So one that was made before add-ons had
// ids of their own goes on as it is, its next restart gives it some, and backups of either
// are restored into the other.
func TestAddonsHaveUserIDsOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := ownStack(t, stack.Options{})
	owner := map[int]string{}
	for _, service := range []string{"redis", "postgres", "neo4j"} {
		t.Run(service, func(t *testing.T) {
			if testing.Short() && service != "redis" {
				t.Skip("takes long")
			}
			v := servedBy[service]
			app, addon := service+"-ids", service+"-"+service+"-ids"
			admin(t, s, "apps:create "+app)
			admin(t, s, "addons:create "+service+" -a "+app+v.flags)
			url := strings.Replace(appConfig(t, s, app)[v.config], addon, "127.0.0.1", 1)
			generation := 1
			container := func() string { return fmt.Sprintf("%s-addon-%s.%d", s.Name, addon, generation) }
			in := func(argv func(string, int) []string, n int) string {
				t.Helper()
				out, err := stack.Podman(append([]string{"exec", container()}, argv(url, n)...)...)
				if err != nil {
					t.Fatal(out, err)
				}
				lines := strings.Split(strings.TrimSpace(out), "\n")
				return lines[len(lines)-1]
			}
			has := func(want int) {
				t.Helper()
				if got := in(v.count, 0); got != strconv.Itoa(want) {
					t.Errorf("it has %s, not %d", got, want)
				}
			}
			mapped := func() {
				t.Helper()
				first := firstID(t, container())
				if first < 1_910_000_000 || owner[first] != "" && owner[first] != addon {
					t.Errorf("its ids begin at %d, which are of %q: does this machine's storage map ids?", first, owner[first])
				}
				owner[first] = addon
				ownedWithin(t, container())
			}
			mapped()
			in(v.add, 1)

			if err := s.Kill9Daemon(); err != nil {
				t.Fatal(err)
			}
			withHostsIDs(t, container(), addon)
			if err := s.StartDaemon(); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() string {
				r := s.SSH(t.Context(), stack.Admin, nil, "backups:capture "+addon)
				if r.Code != 0 { // it may not answer yet
					log, err := stack.Podman("logs", "--tail", "20", container())
					return fmt.Sprint(r.String(), log, err)
				}
				return ""
			})
			if first := firstID(t, container()); first != 0 {
				t.Fatalf("the one of before has ids from %d", first)
			}
			has(1)
			in(v.add, 2)
			before := capture(t, s, addon)
			in(v.add, 3)
			admin(t, s, "addons:restart "+addon)
			mapped()
			has(3)
			in(v.add, 4)
			after := capture(t, s, addon)
			for _, b := range []struct {
				backup
				has int
			}{{before, 2}, {after, 4}} {
				admin(t, s, "backups:restore "+b.ID+" --confirm "+addon)
				generation++
				mapped()
				has(b.has)
			}
			admin(t, s, "addons:upgrade "+addon+" --plan "+map[bool]string{true: "large", false: "medium"}[service == "postgres"])
			generation++
			mapped()
			has(4)
			in(v.add, 5)
			admin(t, s, "addons:restart "+addon)
			has(5)
			admin(t, s, "addons:destroy "+addon+" --confirm "+addon)
		})
	}
}

// firstID is where the ids of a container's processes begin on the host.
func firstID(t *testing.T, container string) int {
	t.Helper()
	pid, err := stack.Podman("container", "inspect", container, "--format", "{{.State.Pid}}")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/proc/" + strings.TrimSpace(pid) + "/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	first, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return first
}

// ownedWithin: all that is in the volumes belongs to ids as the container knows them.
func ownedWithin(t *testing.T, container string) {
	t.Helper()
	dir, err := stack.Podman("volume", "inspect", container+"-data", "--format", "{{.Mountpoint}}")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	err = filepath.WalkDir(strings.TrimSpace(dir), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // it is in use
		}
		info, err := e.Info()
		if err != nil {
			return nil
		}
		seen++
		if st := info.Sys().(*syscall.Stat_t); st.Uid > 65535 || st.Gid > 65535 {
			t.Errorf("%s belongs to %d:%d", path, st.Uid, st.Gid)
		}
		return nil
	})
	if err != nil || seen < 2 {
		t.Error(seen, err)
	}
}

// withHostsIDs makes an add-on's container anew, as it was before add-ons had user ids of
// their own.
func withHostsIDs(t *testing.T, container, addon string) {
	t.Helper()
	text, err := stack.Podman("container", "inspect", container)
	if err != nil {
		t.Fatal(err)
	}
	var was []struct {
		ImageName     string
		EffectiveCaps []string
		Config        struct {
			Labels   map[string]string
			Env, Cmd []string
			Hostname string
			User     string
		}
		Mounts []struct {
			Type, Name, Source, Destination string
			RW                              bool
		}
		HostConfig struct {
			LogConfig struct{ Path string }
		}
		NetworkSettings struct{ Networks map[string]any }
	}
	if err := json.Unmarshal([]byte(text), &was); err != nil {
		t.Fatal(err)
	}
	c := was[0]
	argv := []string{"create", "--name", container, "--init", "--hostname", c.Config.Hostname, "--cap-drop", "ALL", "--no-healthcheck",
		"--security-opt", "no-new-privileges", "--log-driver", "k8s-file", "--log-opt", "path=" + c.HostConfig.LogConfig.Path}
	for k, v := range c.Config.Labels {
		if k != "towline.ids" && k != "towline.mounts" {
			argv = append(argv, "--label", k+"="+v)
		}
	}
	for _, e := range c.Config.Env {
		argv = append(argv, "--env", e)
	}
	for _, capability := range c.EffectiveCaps {
		argv = append(argv, "--cap-add", capability)
	}
	for n := range c.NetworkSettings.Networks {
		argv = append(argv, "--network", n+":alias="+addon)
	}
	for _, m := range c.Mounts {
		source := m.Source
		if m.Type == "volume" {
			source = m.Name
		}
		argv = append(argv, "--volume", source+":"+m.Destination+":"+map[bool]string{true: "rw", false: "ro"}[m.RW])
	}
	if c.Config.User != "" {
		argv = append(argv, "--user", c.Config.User)
	}
	argv = append(append(argv, c.ImageName), c.Config.Cmd...)
	for _, argv := range [][]string{{"stop", container}, {"rm", "--force", "--ignore", container}, argv} {
		if out, err := stack.Podman(argv...); err != nil {
			t.Fatal(argv[0], out, err)
		}
	}
}
