package proxy

import (
	"log/slog"
	"net"
	"net/netip"
	"time"

	"towline/proxy/certs"
)

// Options configure a Proxy. State is needed; every other zero value means the
// default that is given with it.
type Options struct {
	HTTP    string // address of the plain listener, e.g. ":80"; empty: none
	HTTPS   string // address of the TLS listener; empty: none
	Control string // path of the control socket; empty: none
	Metrics string // address of the Prometheus endpoint; empty: none

	// Listeners that are open already take the place of the addresses above.
	HTTPListener, HTTPSListener, ControlListener, MetricsListener net.Listener

	State     string // directory: routes, certificates, the local CA
	AccessLog string // directory, one file for each service; empty: none
	// AccessLogSize bounds a service's log file in bytes; at the bound it is
	// renamed to SERVICE.log.1, over the last one. 0: 64 MiB.
	AccessLogSize int64

	// ProxyProtocol lists who must begin every connection with a PROXY protocol
	// header, version 1 or 2. Empty: nobody may.
	ProxyProtocol []netip.Prefix

	// TrustForwarded lists the proxies in front whose X-Forwarded headers are
	// believed, for every service. Empty: nobody's.
	TrustForwarded []netip.Prefix

	TLS TLS

	// HeaderTimeout bounds how long a client may take to send a request head
	// or to shake hands. 0: 10 s.
	HeaderTimeout time.Duration
	// KeepAlive is how long an idle client connection is kept. 0: 75 s.
	KeepAlive time.Duration

	// Connections is how many clients may be connected at a time. At the bound those make
	// room that have waited for a request for longest; beyond it, by an eighth, connections are closed at
	// once. 0: any number.
	Connections int

	// UploadGrace is how long a client may send an upload at any
	// pace; after that 240 bytes a second are asked of it. 0: 10 s.
	UploadGrace time.Duration

	// Quiet is called when there have been no requests and no changes of what is served for
	// some seconds, once until there is one again. nil: nothing is.
	Quiet func()

	// HandOver starts a process that takes over the listeners, and returns once that
	// serves; nil: this proxy is handed over to none.
	HandOver func(*Proxy) error

	Log *slog.Logger // nil: discard
}

// TLS says where certificates come from.
type TLS = certs.CA

func (o *Options) defaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.HeaderTimeout == 0 {
		o.HeaderTimeout = 10 * time.Second
	}
	if o.KeepAlive == 0 {
		o.KeepAlive = 75 * time.Second
	}
	if o.UploadGrace == 0 {
		o.UploadGrace = 10 * time.Second
	}
	if o.AccessLogSize == 0 {
		o.AccessLogSize = 64 << 20
	}
}
