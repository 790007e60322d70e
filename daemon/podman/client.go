package podman

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/containers/podman/v5/pkg/bindings"
)

// client is the connection to Podman, in the name of an installation. It is made when first
// used and again after Podman was away.
type client struct {
	socket string // path
	name   string // of the installation

	mu         sync.Mutex
	connection context.Context   // holds the bindings' client; nil until Podman answered once
	transport  http.RoundTripper // of that client, for calls that the bindings cannot make
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
func (c *client) call(ctx context.Context) (context.Context, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.connection == nil {
		if err := c.connect(ctx); err != nil {
			return nil, unavailable(err)
		}
	}
	return callContext{ctx, c.connection}, nil
}

// connectLimit is how long a service may take to answer its first question.
const connectLimit = 10 * time.Second

// connect is called with mu held.
func (c *client) connect(ctx context.Context) error {
	// The bindings sleep between attempts: find out first, at once, whether
	// anyone listens.
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	conn.Close()
	// Only the values of the context that comes back are used: it may end here.
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	connection, err := bindings.NewConnection(ctx, "unix://"+c.socket)
	if err != nil {
		return err
	}
	client, err := bindings.GetClient(connection)
	if err != nil {
		return err
	}
	transport := &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
		DisableCompression:  true,
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     time.Minute,
	}
	client.Client.Transport = bounded{transport, limitOf}
	c.connection, c.transport = connection, client.Client.Transport
	return nil
}

func (c *client) dial(ctx context.Context) (net.Conn, error) {
	return (&net.Dialer{Timeout: connectLimit}).DialContext(ctx, "unix", c.socket)
}

// Ping implements daemon.Containers.
func (c *client) Ping(ctx context.Context) (string, error) {
	// Not system.Version: Podman starts as many programs for that as for info.
	response, err := c.respond(ctx, http.MethodGet, "/_ping", nil)
	if err != nil {
		return "", wrap(err, "podman")
	}
	return response.Header.Get("Libpod-API-Version"), response.Body.Close()
}

// filters select this installation's objects that carry all labels.
func (c *client) filters(labels map[string]string) map[string][]string {
	list := []string{Label + "=" + c.name}
	for k, v := range labels {
		list = append(list, k+"="+v)
	}
	return map[string][]string{"label": list}
}

// labelled adds the installation's label.
func (c *client) labelled(labels map[string]string) map[string]string {
	all := make(map[string]string, len(labels)+1)
	for k, v := range labels {
		all[k] = v
	}
	all[Label] = c.name
	return all
}
