// Package podman runs Towline's containers on Podman, through its API socket. It
// implements daemon.Engine for services from 4.3 on.
package podman

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/containers/podman/v5/pkg/bindings"

	"towline/daemon"
)

// Label is on every object of Towline's; its value is the installation's name.
const Label = "towline"

// Options say which Podman to use, and in whose name.
type Options struct {
	Address string            // of the API socket, unix:///run/podman/podman.sock
	Name    string            // of the installation
	Images  map[string]string // references to replace by others before use
	// PublicPorts are those of the host that everyone reaches, and so containers too.
	PublicPorts []int
}

// Engine is a daemon.Engine. It connects when first used and again after Podman
// was away.
type Engine struct {
	options Options
	socket  string // path

	mu         sync.Mutex
	connection context.Context   // holds the bindings' client; nil until Podman answered once
	transport  http.RoundTripper // of that client, for calls that the bindings cannot make

	asking sync.Mutex
	facts  *facts // nil until Podman was asked

	publishing sync.Mutex // held while names are gathered and written
	kills      memoryKills

	portsLookedAt bool // that an earlier start had opened

	restraining sync.Mutex // held while the answer rules are gathered and written
	restrained  *bool      // they name some address; nil: not written yet, who knows

	halfMade halfMade
	index    index

	fresh sync.Map // container name -> []string, bridges: made here and not started yet
}

var _ daemon.Engine = (*Engine)(nil)

// New does not need Podman to answer yet. It fails only on an unusable address.
// ctx is for the first attempt to connect alone.
func New(ctx context.Context, options Options) (*Engine, error) {
	address, err := url.Parse(options.Address)
	if err != nil || address.Scheme != "unix" || address.Path == "" {
		return nil, daemon.Errorf(daemon.Invalid, "podman address %q is not a unix socket", options.Address).
			WithHint("use unix:///run/podman/podman.sock")
	}
	e := &Engine{options: options, socket: address.Path, halfMade: halfMade{young: makingLimit}}
	// The service may be socket-activated later than the daemon: callers find out.
	_, _ = e.call(ctx)
	return e, nil
}

// callContext cancels as its caller wants and carries the bindings' client.
type callContext struct {
	context.Context
	connection context.Context
}

func (c callContext) Value(key any) any {
	if v := c.connection.Value(key); v != nil {
		return v
	}
	return c.Context.Value(key)
}

// call makes a context for the bindings.
func (e *Engine) call(ctx context.Context) (context.Context, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.connection == nil {
		if err := e.connect(ctx); err != nil {
			return nil, unavailable(err)
		}
	}
	return callContext{ctx, e.connection}, nil
}

// connectLimit is how long a service may take to answer its first question.
const connectLimit = 10 * time.Second

// connect is called with mu held.
func (e *Engine) connect(ctx context.Context) error {
	// The bindings sleep between attempts: find out first, at once, whether
	// anyone listens.
	conn, err := e.dial(ctx)
	if err != nil {
		return err
	}
	conn.Close()
	// Only the values of the context that comes back are used: it may end here.
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	connection, err := bindings.NewConnection(ctx, "unix://"+e.socket)
	if err != nil {
		return err
	}
	client, err := bindings.GetClient(connection)
	if err != nil {
		return err
	}
	transport := &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return e.dial(ctx) },
		DisableCompression:  true,
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     time.Minute,
	}
	client.Client.Transport = bounded{transport, limitOf}
	e.connection, e.transport = connection, client.Client.Transport
	return nil
}

func (e *Engine) dial(ctx context.Context) (net.Conn, error) {
	return (&net.Dialer{Timeout: connectLimit}).DialContext(ctx, "unix", e.socket)
}

// Ping implements daemon.Containers.
func (e *Engine) Ping(ctx context.Context) (string, error) {
	// Not system.Version: Podman starts as many programs for that as for info.
	response, err := e.respond(ctx, http.MethodGet, "/_ping", nil)
	if err != nil {
		return "", wrap(err, "podman")
	}
	return response.Header.Get("Libpod-API-Version"), response.Body.Close()
}

// filters select this installation's objects that carry all labels.
func (e *Engine) filters(labels map[string]string) map[string][]string {
	list := []string{Label + "=" + e.options.Name}
	for k, v := range labels {
		list = append(list, k+"="+v)
	}
	return map[string][]string{"label": list}
}

// labelled adds the installation's label.
func (e *Engine) labelled(labels map[string]string) map[string]string {
	all := make(map[string]string, len(labels)+1)
	for k, v := range labels {
		all[k] = v
	}
	all[Label] = e.options.Name
	return all
}
