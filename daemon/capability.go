package daemon

import (
	"slices"
	"strings"
)

// Capability is one of the powers that an app's processes do without, unless an administrator
// gives it: what it is called, and what it is for.
type Capability struct{ Name, For string }

// BindLow is the capability to listen on a port below 1024.
const BindLow = "NET_BIND_SERVICE"

// Capabilities are those that can be given. An app's processes have them in their own user
// namespace alone, over their own files, processes and network.
var Capabilities = []Capability{
	{"CHOWN", "change the owners of files"},
	{"DAC_OVERRIDE", "read and write other users' files"},
	{"FOWNER", "change the permissions of other users' files"},
	{"KILL", "signal other users' processes"},
	{BindLow, "listen on a port below 1024"},
	{"SETGID", "go on as another group"},
	{"SETUID", "go on as another user"},
}

// CheckCapabilities returns the capabilities of these names, each once and in order; in any
// case, and with or without CAP_.
func CheckCapabilities(names []string) ([]string, error) {
	var known, out []string
	for _, c := range Capabilities {
		known = append(known, c.Name)
	}
	for _, name := range names {
		plain := strings.TrimPrefix(strings.ToUpper(name), "CAP_")
		if !slices.Contains(known, plain) {
			return nil, Errorf(Invalid, "%q is not a capability that an app can have", Clip(name)).WithHint("there are %s", strings.Join(known, ", "))
		}
		if !slices.Contains(out, plain) {
			out = append(out, plain)
		}
	}
	slices.Sort(out)
	return out, nil
}
