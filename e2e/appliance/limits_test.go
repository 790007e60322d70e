package appliance

import (
	"errors"
	"os/exec"
	"strings"
	"time"
)

// limits wants limits of memory and processes to hold, where the kernel has them: what an
// app's process allocates beyond kills that one, and nobody else.
func (s *story) limits() {
	if !s.m.Whole() {
		s.t.Log("a container of this machine's kernel has no limits of its own")
		return
	}
	for file, want := range map[string]string{"memory.max": "134217728", "pids.max": "512"} {
		s.wants(s.towline("run -a shop cat /sys/fs/cgroup/"+file), want)
	}
	s.wants(s.root("podman exec $(podman ps -q --filter label=towline.addon=redis-shop) cat /sys/fs/cgroup/memory.max"), "268435456") // its plan's
	for unit, property := range map[string]string{"towline-proxy": "LimitNOFILE=1048576", "towlined": "LimitNOFILE=65536"} {
		s.wants(s.root("systemctl show -p LimitNOFILE "+unit+"; cat /proc/$(systemctl show -P MainPID "+unit+")/limits"), property, strings.TrimPrefix(property, "LimitNOFILE="))
	}
	others := s.otherContainers()

	out, err := s.m.SSH(s.t.Context(), "towline", s.key, "", "run -a shop 'head -c 1000m /dev/zero | tail'")
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 137 {
		s.t.Errorf("a one-off that needs too much ends with %v, want 137", err)
	}
	s.wants(out, "out of memory", "128 MB")

	if body, err := get(s.client(), "https://"+s.host+"/eat?mb=1000"); err == nil {
		s.t.Errorf("the app has eaten 1000 MB: %q", body)
	}
	s.waitPage(time.Minute)
	log := s.waitLog("shop", "web.1 exited with code 137", "out of memory: web.1 was killed, as it needed more than the 128 MB that it may have")
	s.t.Log(tail(log))
	if got := s.otherContainers(); got != others {
		s.t.Errorf("others were\n%s and are\n%s", others, got)
	}
	s.fleetAnswers()
	s.root("systemctl is-system-running || { systemctl --failed; exit 1; }")
}

// otherContainers are all containers but shop's web.1, with the process that each is.
func (s *story) otherContainers() string {
	s.t.Helper()
	return s.root(`podman ps -q --filter label=towline=towline | xargs podman inspect --format '{{.Name}} {{.Id}} {{.State.Pid}}' | grep -v shop.web.1 | sort`)
}

// waitLog waits until an app's log has all of words.
func (s *story) waitLog(app string, words ...string) string {
	s.t.Helper()
	var log string
	for end := time.Now().Add(s.m.Slowness() * 20 * time.Second); time.Now().Before(end); time.Sleep(time.Second) {
		log = s.towline("logs -n 200 -a " + app)
		if !strings.Contains(log, words[0]) || !strings.Contains(log, words[len(words)-1]) {
			continue
		}
		break
	}
	s.wants(log, words...)
	return log
}
