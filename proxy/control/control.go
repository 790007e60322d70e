// Package control is how the daemon tells the proxy what to serve: the wire
// types, the client, and the handler that the proxy mounts on its unix socket.
// The wire is HTTP with JSON bodies, one request per method of Proxy.
package control

import (
	"context"
	"fmt"
	"time"
)

// Proxy is what can be asked of the proxy. The client and the proxy itself
// implement it, so the daemon's tests may run against either.
type Proxy interface {
	// Deploy makes s the service of its name. Targets that the current table
	// does not hold are polled until each is ready (see Health); only then, in
	// one step, the new table serves. On any error, ctx ending included, the
	// table is unchanged and NotReady tells which target failed and why.
	Deploy(ctx context.Context, s Service) error

	// Drain returns once the targets that earlier deploys of the service took
	// out have no request left. After budget what remains is cut: WebSockets
	// are closed over the budget with a jitter, not all at its end.
	Drain(ctx context.Context, service string, budget time.Duration) error

	// Remove takes the service and its hosts out. Absent is not an error.
	Remove(ctx context.Context, service string) error

	// Pause holds new requests of the service until Resume, each for no longer
	// than limit; then they get 503. It returns when no request is in flight or
	// ctx ends (the pause then stays: call Resume). Absent is a *NotFound.
	Pause(ctx context.Context, service string, limit time.Duration) error
	Resume(ctx context.Context, service string) error

	// Services lists what is served now, by name.
	Services(ctx context.Context) ([]Status, error)

	// Certificates lists the state of the certificate of every host routed.
	Certificates(ctx context.Context) ([]Certificate, error)
	// SetCertificate serves an uploaded certificate (PEM, leaf first) for host.
	// It is refused unless key and chain match, it has not expired and it
	// covers host.
	SetCertificate(ctx context.Context, host string, chain, key []byte) error
	// DeleteCertificate goes back to an automatic certificate for host.
	DeleteCertificate(ctx context.Context, host string) error

	// Traffic is what was counted of each service that is served. If nothing was counted since the
	// report with that mark, it waits until something is, and after wait answers with the same mark
	// and no services: a machine without visitors is not woken up to hear of none.
	Traffic(ctx context.Context, mark string, wait time.Duration) (Report, error)
}

// Report is what was counted until now.
type Report struct {
	Mark     string    `json:"mark"`
	Services []Traffic `json:"services,omitempty"`
}

// Traffic is what was counted of one service, from a beginning on: what two reports of the same
// beginning differ by was counted between them.
type Traffic struct {
	Service    string   `json:"service"`
	Began      string   `json:"began"`      // another one: counted from nothing
	Status     [6]int64 `json:"status"`     // requests by the first digit of the answer's status; 0: there was none
	In         int64    `json:"in"`         // bytes of the bodies of requests, and of WebSockets
	Out        int64    `json:"out"`        // bytes of the bodies of answers, and of WebSockets
	WebSockets int64    `json:"websockets"` // that are open now
	// Took and First tell how long requests that a target had took: to the end of the answer, and
	// to the first byte of the target's. Numbers of buckets of package sketch, each with how many are
	// in it, modulo 2^32. WebSockets are in neither.
	Took  []uint32 `json:"took,omitempty"`
	First []uint32 `json:"first,omitempty"`
}

// Service is one app's routes: which hosts lead to which targets, and how.
type Service struct {
	Name    string   `json:"name"`
	Hosts   []string `json:"hosts"` // lower-case names without port; "*.example.com" for one label
	Targets []Target `json:"targets"`
	Health  Health   `json:"health"`
	Options Options  `json:"options"`
}

// Target is one web process.
type Target struct {
	ID      string `json:"id"`            // e.g. "web.1.v12"; unique in the service
	Address string `json:"address"`       // host:port
	H2C     bool   `json:"h2c,omitempty"` // speak HTTP/2 without TLS, for gRPC
	// WebSocket: it takes the requests that ask for an upgrade, and no others; targets
	// without it then take none of those. It is ready once it accepts connections.
	WebSocket bool `json:"websocket,omitempty"`
}

// Health says when a target is ready. Without Path, a connection that answers
// any HTTP response is ready.
type Health struct {
	Path     string        `json:"path,omitempty"`
	Status   []int         `json:"status,omitempty"`   // default: 200 to 399
	Content  string        `json:"content,omitempty"`  // that the answer holds, in its first MiB
	Interval time.Duration `json:"interval,omitempty"` // between polls while waiting; default 20ms, grows to 250ms
	Timeout  time.Duration `json:"timeout,omitempty"`  // of one probe; default 5s
	Deadline time.Duration `json:"deadline,omitempty"` // of becoming ready; default 60s
}

// Options are the limits and switches of one service. Zero means the default.
type Options struct {
	Maintenance     bool              `json:"maintenance,omitempty"`      // answer 503 with MaintenancePage
	MaintenancePage string            `json:"maintenance_page,omitempty"` // HTML
	Undeployed      bool              `json:"undeployed,omitempty"`       // there is nothing to serve yet: 404, and a page that says so
	ErrorPage       string            `json:"error_page,omitempty"`       // HTML for 502, 503 and 504
	PlainHTTP       bool              `json:"plain_http,omitempty"`       // serve on port 80 too, in place of redirecting
	HSTS            time.Duration     `json:"hsts,omitempty"`
	Redirects       map[string]string `json:"redirects,omitempty"` // host -> host, 308
	MaxBody         int64             `json:"max_body,omitempty"`  // bytes; default unlimited
	MaxHeader       int               `json:"max_header,omitempty"`
	ResponseTimeout time.Duration     `json:"response_timeout,omitempty"` // to the first response byte; default 30s
	IdleTimeout     time.Duration     `json:"idle_timeout,omitempty"`     // between bytes once streaming; default 55s
	Auth            map[string]string `json:"auth,omitempty"`             // user -> bcrypt hash
	AuthUntil       time.Time         `json:"auth_until,omitzero"`        // nobody is let in after that; zero: no end
	Prefix          string            `json:"prefix,omitempty"`           // of the paths served, but for WebSockets; empty: all
	AllowFrom       []string          `json:"allow_from,omitempty"`       // CIDR; empty: all
	TrustForwarded  []string          `json:"trust_forwarded,omitempty"`  // CIDR of proxies in front
}

// Status is a service as served, with what its targets are doing.
type Status struct {
	Service
	Paused   bool           `json:"paused,omitempty"`
	Draining []string       `json:"draining,omitempty"`  // target IDs
	InFlight map[string]int `json:"in_flight,omitempty"` // by target ID
	Ejected  []string       `json:"ejected,omitempty"`
}

// Certificate is the state of one host's certificate.
type Certificate struct {
	Host     string    `json:"host"`
	Kind     string    `json:"kind"`  // "acme", "local" or "uploaded"
	State    string    `json:"state"` // "valid", "pending" or "failing"
	Issuer   string    `json:"issuer,omitempty"`
	NotAfter time.Time `json:"not_after,omitzero"`
	Error    string    `json:"error,omitempty"`     // last failure; or, of a valid one, what is to be done
	Retry    time.Time `json:"next_retry,omitzero"` // when it is tried again
}

// Unreachable is the error of a call that nobody answered.
type Unreachable struct {
	Socket string
	Err    error
}

func (e *Unreachable) Error() string {
	return fmt.Sprintf("proxy: nothing answers at %s: %v; is towline-proxy running?", e.Socket, e.Err)
}

func (e *Unreachable) Unwrap() error { return e.Err }

// NotReady is the error of a Deploy whose target did not become ready.
type NotReady struct {
	Target string `json:"target"`
	Reason string `json:"reason"` // e.g. "GET /up answered 500", "nothing accepts connections at ..."
}

func (e *NotReady) Error() string { return e.Target + ": " + e.Reason }
