package proxy

import (
	"log/slog"
	"net"
	"net/netip"
	"time"
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

	TLS TLS

	// HeaderTimeout bounds how long a client may take to send a request head
	// or to shake hands. 0: 10 s.
	HeaderTimeout time.Duration
	// KeepAlive is how long an idle client connection is kept. 0: 75 s.
	KeepAlive time.Duration

	// UploadGrace is how long a client may send an upload of known length at any
	// pace; after that 240 bytes a second are asked of it. 0: 10 s.
	UploadGrace time.Duration

	Log *slog.Logger // nil: discard
}

// TLS says where certificates come from.
type TLS struct {
	// ACME is the directory URL of a CA. Empty: the local CA signs every name.
	ACME  string
	Email string // contact of the account
	// EABKeyID and EABKey (base64url) bind the account to one at the CA.
	EABKeyID, EABKey string
	// CARoots is a PEM file of roots to trust the ACME server by. Empty: the system's.
	CARoots string
	// DNSProvider answers DNS-01 challenges, as certmagic.DNSProvider does.
	// Names with a wildcard need it.
	DNSProvider any
	// DNSResolvers (host:port) are asked about zones in place of the system's.
	DNSResolvers []string
	// HTTPPort and TLSPort are where the CA's challenges arrive when they are
	// not 80 and 443, as in tests.
	HTTPPort, TLSPort int
	// RenewCheck is how often certificates are looked at for renewal. 0: 10 min.
	RenewCheck time.Duration
	// FirstRetry is the wait after a name's first failure. 0: 1 min.
	FirstRetry time.Duration
}

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
