package apps

import (
	"net/netip"
	"strings"
	"testing"

	"towline/daemon"
)

func TestWhyAWebProcessFailed(t *testing.T) {
	labels := map[string]string{daemon.LabelApp: "shop", daemon.LabelPort: "5000", daemon.LabelProcess: "web", daemon.LabelIndex: "1"}
	at := func(addresses ...string) (list []netip.AddrPort) {
		for _, a := range addresses {
			list = append(list, netip.MustParseAddrPort(a))
		}
		return list
	}
	run := func(command string) daemon.ContainerSpec {
		return daemon.ContainerSpec{Name: "c", Labels: labels, Command: []string{"-c", command}}
	}
	for name, c := range map[string]struct {
		f           failed
		words, hint string // parts; words "": none
	}{
		"loopback alone": {failed{spec: run("exec flask run"), running: true, looked: true, listeners: at("127.0.0.1:5000")},
			"it listens on 127.0.0.1:5000 alone", "flask run --host 0.0.0.0 --port $PORT"},
		"loopback of IPv6": {failed{spec: run("exec node x.js"), running: true, looked: true, listeners: at("[::1]:5000")},
			"it listens on [::1]:5000 alone", "app.listen(process.env.PORT"},
		"another port": {failed{spec: run("exec node x.js"), running: true, looked: true, listeners: at("0.0.0.0:3000")},
			"it listens on port 3000, and not on $PORT, which is 5000", "towline config:set PORT=3000 -a shop"},
		"another port, of loopback": {failed{spec: run("x"), lines: []string{"Local: http://localhost:5173/ vite"}, running: true, looked: true, listeners: at("127.0.0.1:5173")},
			"it listens on 127.0.0.1:5173", "vite preview --host 0.0.0.0"},
		"where it should": {failed{spec: run("x"), running: true, looked: true, listeners: at("127.0.0.1:9", "0.0.0.0:5000")}, "", "answer HTTP on $PORT"},
		"on IPv6":         {failed{spec: run("x"), running: true, looked: true, listeners: at("[::]:5000")}, "", "answer HTTP on $PORT"},
		"nowhere":         {failed{spec: run("x"), running: true, looked: true}, "", "answer HTTP on $PORT"},
		"not known":       {failed{spec: run("x"), running: true}, "", "answer HTTP on $PORT"},
		"a privilege":     {failed{spec: run("nginx"), exit: 1, lines: []string{"bind() to 0.0.0.0:80 failed (13: Permission denied)"}}, "below 1024", "ps:capabilities:set NET_BIND_SERVICE"},
		"a command":       {failed{spec: run("gunicorn"), exit: 127, lines: []string{"sh: 1: gunicorn: not found"}}, "command not found: gunicorn", "requirements.txt"},
		"a config var":    {failed{spec: run("x"), exit: 1, lines: []string{"Error: SESSION_SECRET is not set"}}, "the config var SESSION_SECRET is not set", "config:set"},
		"thrown":          {failed{spec: run("x"), exit: 1, lines: []string{"TypeError: no", "    at Object.Module._extensions..js (x)"}}, "TypeError: no", "mend"},
		"nothing of use":  {failed{spec: run("x"), exit: 9, lines: []string{"bad luck"}}, "", "answer HTTP on $PORT"},
		"an end":          {failed{spec: run("x"), lines: []string{"done"}}, "", "in the foreground"},
		"none is found":   {failed{}, "", "answer HTTP on $PORT"},
	} {
		if hidden := name == "loopback alone" || name == "loopback of IPv6"; c.f.hidden() != hidden {
			t.Errorf("%s: is waited for: %t", name, hidden)
		}
		words, hint := c.f.why()
		if !strings.Contains(words, c.words) || c.words == "" && words != "" || !strings.Contains(hint, c.hint) {
			t.Errorf("%s: %q, hint %q", name, words, hint)
		}
	}
	err := notStarted(run("x"), daemon.Errorf(daemon.Failed, "crun: executable file `serve` not found in $PATH: No such file or directory"))
	if e, ok := err.(*daemon.Error); !ok || e.Message != "web.1 did not start: command not found: serve" || e.Hint == "" {
		t.Errorf("%v", err)
	}
	if err := notStarted(run("x"), daemon.Errorf(daemon.Unavailable, "Podman does not answer: no such file: not found")); !daemon.IsAway(err) {
		t.Errorf("that the engine is away is lost: %#v", err)
	}
}

func TestFailedPhase(t *testing.T) {
	for output, want := range map[string][2]string{
		"":                         {"the release phase failed with exit code 1", "above"},
		"migrating\nout of cheese": {"the release phase failed with exit code 1", "above"},
		"sh: 1: rake: not found":   {"the release phase failed with exit code 1: command not found: rake", "Gemfile"},
		"Traceback (most recent call last):\n  File \"x\"\ndjango.db.utils.OperationalError: no such table": {"the release phase failed with exit code 1: django.db.utils.OperationalError: no such table", "above"},
	} {
		e := failedPhase("release phase", 1, output, daemon.App{Name: "shop"}, "its output is above").(*daemon.Error)
		if e.Message != want[0] || !strings.Contains(e.Hint, want[1]) {
			t.Errorf("%q: %q, hint %q", output, e.Message, e.Hint)
		}
	}
}
