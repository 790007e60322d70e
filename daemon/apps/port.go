package apps

import (
	"fmt"
	"slices"
	"strconv"

	"towline/daemon"
)

// Each container has an address of its own, so a web process may listen on any port: the one
// that the config var PORT gives; else the one that the image says it exposes, as with an
// image that knows nothing of $PORT; else defaultPort. In each case it is $PORT.

const (
	portVar     = "PORT"
	defaultPort = 5000
	lowPorts    = 1024 // below it a process needs a capability to listen
)

// port is $PORT, and where it is from, for people.
type port struct {
	number int
	from   string // empty: nothing but $PORT can be meant
}

func (p port) String() string { return strconv.Itoa(p.number) }

// portOf chooses the port of a release's processes.
func portOf(rel daemon.Release, capabilities []string) port {
	if n, err := parsePort(rel.Config[portVar]); err == nil {
		return port{n, "the config var PORT"}
	}
	exposed := rel.Processes["web"].Exposed
	switch {
	case rel.Kind != "dockerfile":
		return port{defaultPort, ""}
	case len(exposed) == 0:
		return port{defaultPort, "$PORT, as the image exposes none"}
	case slices.Contains(exposed, 80) && slices.Contains(capabilities, daemon.BindLow): // whatever else; HTTPS is the proxy's
		return port{80, "the image's EXPOSE"}
	case len(exposed) > 1:
		return port{defaultPort, "$PORT, as the image exposes several"}
	case exposed[0] < lowPorts && !slices.Contains(capabilities, daemon.BindLow):
		return port{defaultPort, fmt.Sprintf("$PORT, as the image's EXPOSE, %d, is below %d", exposed[0], lowPorts)}
	}
	return port{exposed[0], "the image's EXPOSE"}
}

// checkPort refuses a config var PORT where the app's processes can't listen.
func checkPort(value string, app daemon.App) error {
	n, err := parsePort(value)
	if err != nil || n >= lowPorts || slices.Contains(app.Capabilities, daemon.BindLow) {
		return err
	}
	return daemon.Errorf(daemon.Conflict, "processes of %s may not listen on port %d, which is below %d", app.Name, n, lowPorts).
		WithHint("choose a port from %d on; or have an administrator allow it: towline ps:capabilities:set %s -a %s", lowPorts, daemon.BindLow, app.Name)
}

func parsePort(value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != value {
		return 0, daemon.Errorf(daemon.Invalid, "PORT is where the web process listens, a number from 1 to 65535, not %q", daemon.Clip(value)).
			WithHint("towline config:set PORT=3000; without it the app is told a port in $PORT")
	}
	return n, nil
}
