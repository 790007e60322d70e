// Package certs finds the certificate of a name: an uploaded one, else one from
// an ACME CA, else one from a local CA of its own. It knows no proxy: which names
// there are it asks of Names, and challenges are brought to it.
//
// A Certs is reached by every handshake; its parts have locks of their own, and
// whatever they keep is bounded by the hosts that are routed.
package certs

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"towline/proxy/control"
)

// Names tells which hosts are routed. Certificates exist for these alone.
type Names interface {
	// Covering returns the host that leads name (lower-case, without port) to
	// a service: name itself, or the wildcard that covers it. "": nobody's.
	Covering(name string) string
	// Routed tells whether exactly this host or wildcard is routed.
	Routed(host string) bool
	// Hosts are all that are routed, in no order.
	Hosts() []string
}

// Options say where certificates are kept and where they come from.
type Options struct {
	State string // directory, which is there
	Names Names
	Log   *slog.Logger
	CA    CA
}

// CA is the ACME CA that signs public names.
type CA struct {
	// ACME is the directory URL. Empty: the local CA signs every name.
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

// Certs holds the certificates of all names.
type Certs struct {
	names   Names
	log     *slog.Logger
	local   *localCA
	uploads *uploads
	acme    *acmeCA // nil: the local CA signs every name
}

// Open reads what the state directory holds. An uploaded certificate that cannot
// be read is logged, and a trouble of its host alone.
func Open(o Options) (*Certs, error) {
	local, err := openLocalCA(o.State)
	if err != nil {
		return nil, err
	}
	up, problems, err := openUploads(o.State)
	if err != nil {
		return nil, err
	}
	for _, err := range problems {
		o.Log.Error("an uploaded certificate cannot be read", "error", err)
	}
	c := &Certs{names: o.Names, log: o.Log, local: local, uploads: up}
	if o.CA.ACME != "" {
		if c.acme, err = newACME(&o); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Begin starts to obtain certificates, once challenges can be answered.
func (c *Certs) Begin() {
	if c.acme != nil {
		c.acme.begin()
	}
}

// Close ends what is under way and waits for it.
func (c *Certs) Close() {
	if c.acme != nil {
		c.acme.close()
	}
}

// Root is the local CA's root, DER.
func (c *Certs) Root() []byte { return c.local.root.Raw }

// Protocols are what a TLS listener must offer for challenges, by ALPN.
func (c *Certs) Protocols() []string {
	if c.acme == nil {
		return nil
	}
	return []string{"acme-tls/1"}
}

// public tells whether a public CA could sign for the host at all.
func public(host string) bool {
	host = strings.TrimPrefix(host, "*.")
	if _, err := netip.ParseAddr(host); err == nil || !strings.Contains(host, ".") {
		return false
	}
	for _, suffix := range []string{".localhost", ".local", ".internal", ".test", ".lan", ".home.arpa"} {
		if strings.HasSuffix(host, suffix) {
			return false
		}
	}
	return true
}

// renewalNotice is how long before its end an uploaded certificate's State asks for
// its successor. Nobody but its owner can renew it.
const renewalNotice = 30 * 24 * time.Hour

// Get is a tls.Config's GetCertificate.
func (c *Certs) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(hello.ServerName)
	if name == "" {
		// Clients send no name when they were given an address.
		if a, ok := hello.Conn.LocalAddr().(*net.TCPAddr); ok {
			name = a.AddrPort().Addr().Unmap().String()
		}
	}
	if c.acme != nil && c.acme.challenging(hello) {
		return c.acme.get(hello)
	}
	host := c.names.Covering(name)
	if host == "" {
		// crypto/tls takes this for having none at all, and is the only way to have
		// it answer unrecognized_name (RFC 6066, 3); an error is internal_error.
		return nil, nil
	}
	if cert := c.uploads.find(name); cert != nil {
		return cert, nil
	}
	if c.acme != nil && public(name) {
		if cert, err := c.acme.get(hello); err == nil {
			return cert, nil
		}
		// None yet: the local CA's lets its owner in, with a warning, to see why.
	}
	return c.local.leaf(host, name)
}

// Manage begins to look after the certificates of hosts; it waits for no CA.
func (c *Certs) Manage(hosts []string) {
	if c.acme == nil {
		return
	}
	for _, h := range hosts {
		if public(h) && c.uploads.find(h) == nil {
			c.acme.manage(h)
		}
	}
}

// Forget stops looking after those of hosts that are routed no more, and deletes
// what was uploaded for them: whoever has the name next must not serve with the key
// of whoever had it before.
func (c *Certs) Forget(hosts []string) {
	for _, h := range hosts {
		if c.names.Routed(h) {
			continue
		}
		c.local.forget(h)
		if err := c.deleteUpload(h); err != nil {
			c.log.Error("an uploaded certificate cannot be deleted", "host", h, "error", err)
		}
		if c.acme != nil {
			c.acme.forget(h)
		}
	}
}

// Challenge returns the answer, plain text, to a request for target at host that
// is an ACME HTTP-01 challenge. false: it is none of ours.
func (c *Certs) Challenge(method, host, target string) (answer string, ok bool) {
	if c.acme == nil || !strings.HasPrefix(target, "/.well-known/acme-challenge/") {
		return "", false
	}
	return c.acme.answer(method, host, target)
}

// State tells how the certificate of a host is doing.
func (c *Certs) State(host string) control.Certificate {
	if u := c.uploads.find(host); u != nil {
		s := control.Certificate{Host: host, Kind: "uploaded", State: "valid", Issuer: u.Leaf.Issuer.CommonName, NotAfter: u.Leaf.NotAfter}
		switch left := time.Until(u.Leaf.NotAfter); {
		case left <= 0:
			s.State, s.Error = "failing", "it has expired; add its successor"
		case left < renewalNotice:
			s.Error = "it expires on " + u.Leaf.NotAfter.UTC().Format(time.DateOnly) + "; add its successor"
		}
		return s
	}
	if c.acme != nil && public(host) {
		return c.acme.state(host)
	}
	return control.Certificate{Host: host, Kind: "local", State: "valid", Issuer: c.local.root.Subject.CommonName, NotAfter: time.Now().Add(leafLife)}
}

// Upload checks a certificate and its key (PEM, leaf first) and serves it for
// host from now on. What is refused is a *control.Invalid.
func (c *Certs) Upload(host string, chain, key []byte) error {
	if !c.names.Routed(host) {
		return invalid("host %s is not routed; add the domain first", host)
	}
	return c.uploads.put(host, chain, key)
}

// Remove goes back to an automatic certificate for host.
func (c *Certs) Remove(host string) error {
	return c.deleteUpload(host)
}

// deleteUpload deletes a certificate that was uploaded, and begins to look after the
// hosts that it served: with a wildcard's these may be many, and of other services.
func (c *Certs) deleteUpload(host string) error {
	deleted, err := c.uploads.delete(host)
	if deleted {
		c.Manage(c.names.Hosts())
	}
	return err
}

func invalid(format string, args ...any) error {
	return &control.Invalid{Reason: fmt.Sprintf(format, args...)}
}
