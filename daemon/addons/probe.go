package addons

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"towline/daemon"
	"towline/daemon/container"
	"towline/plugins"
)

// probeTimeout bounds one look from outside. A service that is busy starting may take a
// connection long before it answers.
const probeTimeout = 5 * time.Second

// probe looks once whether a service is ready: by the manifest's command in its
// container, or from this host over the container's network.
func (ss *Services) probe(ctx context.Context, c daemon.Container, p plugins.Probe) error {
	if len(p.Command) > 0 {
		_, err := ss.Exec(ctx, c.Name, p.Action)
		return err
	}
	networks := slices.Sorted(maps.Keys(c.Addresses)) // this host is in each of them
	if len(networks) == 0 || c.Addresses[networks[0]] == "" {
		return errors.New("the container has no address")
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	address := net.JoinHostPort(c.Addresses[networks[0]], strconv.Itoa(p.Port))
	if p.Path == "" {
		conn, err := container.Dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	return probeHTTP(ctx, "http://"+address+p.Path, p.Status)
}

// probeHTTP asks for a page. Where that leads on to another, its own status counts.
func probeHTTP(ctx context.Context, url string, status int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: container.Dialer.DialContext} // and no proxy of the environment's
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode != status {
		return fmt.Errorf("%s answers with status %d, not %d", req.URL.Path, resp.StatusCode, status)
	}
	return nil
}

// hintLines is how far back in a log the cause of a failed start is looked for.
const hintLines = 200

// lastWords is the end of a service's log, after what the manifest has to say about it.
func (ss *Services) lastWords(container string, spec plugins.Spec) string {
	var b strings.Builder
	hints := plugins.NewHints(spec.LogHints)
	for _, line := range ss.Containers.LastLines(container, hintLines) {
		if meaning := hints.Of(line); meaning != "" {
			b.WriteString(meaning + "\n")
		}
	}
	return b.String() + "its last output:\n" + ss.Containers.Tail(container)
}

// LogHints knows what the lines of an add-on's log mean.
func (ss *Services) LogHints(ctx context.Context, addon string) (*plugins.Hints, error) {
	a, err := ss.Addon(ctx, addon)
	if err != nil {
		return nil, err
	}
	m, ok := ss.Catalog.Service(a.Service)
	if !ok { // its log can be read still
		return plugins.NewHints(nil), nil
	}
	return plugins.NewHints(m.LogHints), nil
}

// maxTunnels bounds the connections that lead to one add-on at a time.
const maxTunnels = 64
