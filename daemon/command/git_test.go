package command

import (
	"bytes"
	"strings"
	"testing"
)

// TestInternalCommands: what programs of Towline's ask, nobody can type, not even
// the operator: the commit of a push is the one that git received.
func TestInternalCommands(t *testing.T) {
	table, reached := newTable(t)
	for _, line := range []string{
		"git:push -a shop --ref refs/heads/main --new forged", "git push -a shop --ref refs/heads/main --new forged",
		"git:served -a shop", "git:receive shop", "git:upload shop", "git receive shop",
	} {
		for _, member := range []string{"", "admin", "deploy"} {
			for _, internal := range []bool{false, true} {
				*reached = ""
				var said bytes.Buffer
				r := request(member, strings.Fields(line), &said)
				r.Internal = internal
				code := table.Run(t.Context(), r)
				if !internal && (code != 2 || *reached != "" || !strings.Contains(said.String(), "not for people")) {
					t.Errorf("%q typed by %q: %d, reached %q: %s", line, member, code, *reached, &said)
				}
				if internal && member != "deploy" && *reached == "" {
					t.Errorf("%q asked for %q: %d: %s", line, member, code, &said)
				}
			}
		}
	}
}
