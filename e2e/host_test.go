package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"testing"

	"towline/daemon/doctor"
	"towline/e2e/stack"
)

// TestDoctorWithoutTheDaemon: what is wrong with a machine is found out when it is most
// needed: towlined is down, and then the proxy too.
func TestDoctorWithoutTheDaemon(t *testing.T) {
	t.Parallel()
	s := ownStack(t, stack.Options{})
	examine := func(want map[string]doctor.Status, code int) {
		t.Helper()
		cmd := exec.Command(filepath.Join(s.Dir, "bin", "towlined"), "--config", s.Config(), "--json", "doctor")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		var exited *exec.ExitError
		got := 0
		if errors.As(err, &exited) {
			got = exited.ExitCode()
		}
		var r doctor.Report
		if jerr := json.Unmarshal(out.Bytes(), &r); jerr != nil || code >= 0 && got != code {
			t.Fatalf("exit code %d, %v\n%s", got, jerr, out.String())
		}
		for _, f := range r.Findings {
			if status, ok := want[f.ID]; ok && f.Status != status {
				t.Errorf("%+v, want %s", f, status)
			}
		}
	}
	examine(map[string]doctor.Status{"daemon": doctor.OK, "proxy": doctor.OK, "podman": doctor.OK, "ports": doctor.OK}, -1)
	if err := s.Kill9Daemon(); err != nil {
		t.Fatal(err)
	}
	examine(map[string]doctor.Status{"daemon": doctor.Fail, "proxy": doctor.OK, "podman": doctor.OK, "ports": doctor.OK, "certificates": doctor.Skip}, 1)
	if err := s.Kill9Proxy(); err != nil {
		t.Fatal(err)
	}
	examine(map[string]doctor.Status{"daemon": doctor.Fail, "proxy": doctor.Fail, "ports": doctor.Fail, "podman": doctor.OK}, 1)
}
