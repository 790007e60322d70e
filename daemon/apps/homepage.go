package apps

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"towline/daemon"
	"towline/daemon/container"
	"towline/daemon/work"
)

// homePatience bounds the look at a home page: the pusher waits for it.
const homePatience = 5 * time.Second

// lookHome asks a release that has just been deployed for its home page, once, as a visitor would,
// and warns the pusher of one that only says that something is wrong. A page that can't be had in
// time tells nothing.
func (rl *Releases) lookHome(ctx context.Context, rel daemon.Release, out io.Writer) {
	if web, ok := rel.Processes["web"]; !ok || web.Protocol != "" {
		return
	}
	route, err := rl.routes.routeOf(ctx, rel.App)
	if err != nil || route == nil || len(route.Targets) == 0 {
		return
	}
	host := rl.routes.visited(*route)
	if host == "" {
		return
	}
	status, err := askHome(ctx, route.Targets[0].Address, host)
	if err != nil || status != http.StatusBadRequest && status < 500 {
		return
	}
	hint := "see what it writes: towline logs -a " + rel.App
	if _, err := rl.RollbackTarget(ctx, rel.App, 0); err == nil {
		hint += "; to go back: towline releases:rollback -a " + rel.App
	}
	work.Warn(out, "the home page https://%s/ answers with status %d\n%s", host, status, hint)
	rl.Logs.Write(rel.App, "system", "release", fmt.Sprintf("The home page answers with status %d", status))
}

// visited is a host that visitors of an app name, with the port where it is not the usual one: its
// own, or another that leads to it and nowhere else.
func (rs *Routes) visited(route daemon.Route) string {
	for _, host := range append([]string{route.App + "." + rs.Domain}, route.Hosts...) {
		if strings.HasPrefix(host, "*") || !slices.Contains(route.Hosts, host) || route.Redirects[host] != "" {
			continue
		}
		if rs.Port != "" {
			host += ":" + rs.Port
		}
		return host
	}
	return ""
}

// askHome is the status that a web process answers with to a visitor's first request.
func askHome(ctx context.Context, address, host string) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, homePatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return 0, err
	}
	req.Host = host
	req.Header.Set("User-Agent", "towline-health")
	req.Header.Set("X-Forwarded-Proto", "https")
	transport := &http.Transport{DisableKeepAlives: true, DialContext: container.Dialer.DialContext} // and no proxy of the environment's
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}
