package proxy

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"towline/proxy/control"
)

// certs finds the certificate of a name: an uploaded one, else from the ACME
// CA, else from the local CA. Only names in the route table have any.
type certs struct {
	table      *table
	local      *localCA
	uploads    *uploads
	acme       *acmeCA // nil: the local CA signs every name
	handshakes atomic.Int64
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

// get implements tls.Config.GetCertificate.
func (c *certs) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.handshakes.Add(1)
	name := hostName(hello.ServerName)
	if name == "" {
		// Clients send no name when they were given an address.
		if a, ok := hello.Conn.LocalAddr().(*net.TCPAddr); ok {
			name = a.AddrPort().Addr().Unmap().String()
		}
	}
	if c.acme != nil && c.acme.challenging(hello) {
		return c.acme.get(hello)
	}
	if c.table.find(name) == nil {
		return nil, fmt.Errorf("no route for %q", name)
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
	return c.local.leaf(name)
}

// manage begins to look after the certificates of hosts; it waits for no CA.
func (c *certs) manage(hosts []string) {
	if c.acme == nil {
		return
	}
	for _, h := range hosts {
		if public(h) && c.uploads.find(h) == nil {
			c.acme.manage(h)
		}
	}
}

// forget stops looking after hosts that are routed no more.
func (c *certs) forget(hosts []string) {
	for _, h := range hosts {
		if c.table.routed(h) != nil {
			continue
		}
		c.local.forget(h)
		if c.acme != nil {
			c.acme.forget(h)
		}
	}
}

// challenge answers an ACME HTTP-01 challenge. false: it is none.
func (c *certs) challenge(x *exchange) bool {
	if c.acme == nil || !strings.HasPrefix(x.req.Target, "/.well-known/acme-challenge/") {
		return false
	}
	return c.acme.answer(x)
}

// state tells how the certificate of a host is doing.
func (c *certs) state(host string) control.Certificate {
	if u := c.uploads.find(host); u != nil {
		s := control.Certificate{Host: host, Kind: "uploaded", State: "valid", Issuer: u.Leaf.Issuer.CommonName, NotAfter: u.Leaf.NotAfter}
		if time.Now().After(u.Leaf.NotAfter) {
			s.State, s.Error = "failing", "it has expired; upload a new one"
		}
		return s
	}
	if c.acme != nil && public(host) {
		return c.acme.state(host)
	}
	return control.Certificate{Host: host, Kind: "local", State: "valid", Issuer: c.local.root.Subject.CommonName, NotAfter: time.Now().Add(leafLife)}
}
