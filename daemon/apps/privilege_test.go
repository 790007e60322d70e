package apps

import (
	"strings"
	"testing"

	"towline/daemon"
)

// TestLackedCapability: what well-known images write that lack a capability, and what others
// write that do not.
func TestLackedCapability(t *testing.T) {
	for line, want := range map[string]string{
		`nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)`:                                "NET_BIND_SERVICE",
		`(13)Permission denied: AH00072: make_sock: could not bind to address [::]:80`:                      "NET_BIND_SERVICE",
		`Error: listen EACCES: permission denied 0.0.0.0:80`:                                                "NET_BIND_SERVICE",
		`listen tcp :80: bind: permission denied`:                                                           "NET_BIND_SERVICE",
		`ERROR:    [Errno 13] error while attempting to bind on address ('0.0.0.0', 80): permission denied`: "NET_BIND_SERVICE",
		`[emerg] 1#1: chown("/var/cache/nginx/client_temp", 101) failed (1: Operation not permitted)`:       "CHOWN DAC_OVERRIDE FOWNER SETGID SETUID",
		`chown: changing ownership of '/data': Operation not permitted`:                                     "CHOWN DAC_OVERRIDE FOWNER SETGID SETUID",
		`chmod: changing permissions of '/run/x': Operation not permitted`:                                  "CHOWN DAC_OVERRIDE FOWNER SETGID SETUID",
		`error: failed switching to "redis": operation not permitted`:                                       "",
		`gosu: error: failed switching to "app": operation not permitted`:                                   "CHOWN DAC_OVERRIDE FOWNER SETGID SETUID",
		`su-exec: setgroups: Operation not permitted`:                                                       "CHOWN DAC_OVERRIDE FOWNER SETGID SETUID",
		`nginx: [emerg] setgid(101) failed (1: Operation not permitted)`:                                    "CHOWN DAC_OVERRIDE FOWNER SETGID SETUID",
		`listen tcp :3000: bind: address already in use`:                                                    "",
		`PermissionError: [Errno 13] Permission denied: '/data/x'`:                                          "",
		`SASL: bind failed, 1 try left`:                                                                     "",
		`Listening on 0.0.0.0:1300`:                                                                         "",
	} {
		words, hint := lackedCapability([]string{"starting", line}, daemon.App{Name: "shop"})
		if want == "" && words != "" || want != "" && (words == "" || !strings.HasSuffix(hint, "towline ps:capabilities:set "+want+" -a shop")) {
			t.Errorf("%s: %q, %q", line, words, hint)
		}
	}
	const line = "nginx: [emerg] setgid(101) failed (1: Operation not permitted)"
	if _, hint := lackedCapability([]string{line}, daemon.App{Name: "shop", Capabilities: []string{daemon.BindLow}}); !strings.Contains(hint, "set CHOWN DAC_OVERRIDE FOWNER NET_BIND_SERVICE SETGID SETUID -a") {
		t.Errorf("what it has is taken away: %s", hint)
	}
	if words, _ := lackedCapability([]string{line}, daemon.App{Name: "shop", Capabilities: asRoot}); words != "" {
		t.Errorf("it has that already: %s", words)
	}
}
