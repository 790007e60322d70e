package memory

import (
	"context"
	"crypto/tls"
	"slices"
	"strings"
	"time"

	"towline/daemon"
)

// Certificates implements daemon.Router.
func (r *Router) Certificates(ctx context.Context) ([]daemon.Certificate, error) {
	routes, err := r.Routes(ctx)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	list := []daemon.Certificate{}
	for _, route := range routes {
		for _, h := range hosts(&route) {
			c, ok := r.uploaded[h]
			if !ok {
				c = daemon.Certificate{Host: h, Kind: "local", State: "valid", NotAfter: time.Now().Add(90 * 24 * time.Hour)}
			}
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b daemon.Certificate) int { return strings.Compare(a.Host, b.Host) })
	return list, nil
}

// SetCertificate implements daemon.Router.
func (r *Router) SetCertificate(ctx context.Context, host string, chain, key []byte) error {
	routes, err := r.Routes(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(routes, func(route daemon.Route) bool { return slices.Contains(hosts(&route), host) }) {
		return daemon.Errorf(daemon.Invalid, "host %s is not routed; add the domain first", host)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err == nil {
		err = pair.Leaf.VerifyHostname(host)
	}
	if err != nil {
		return daemon.Errorf(daemon.Invalid, "%w", err)
	}
	if now := time.Now(); now.After(pair.Leaf.NotAfter) || now.Before(pair.Leaf.NotBefore) {
		return daemon.Errorf(daemon.Invalid, "the certificate is not valid now")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.uploaded[host] = daemon.Certificate{Host: host, Kind: "uploaded", State: "valid", Issuer: pair.Leaf.Issuer.CommonName, NotAfter: pair.Leaf.NotAfter}
	return nil
}

// DeleteCertificate implements daemon.Router.
func (r *Router) DeleteCertificate(ctx context.Context, host string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.uploaded, host)
	return nil
}
