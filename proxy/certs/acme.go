package certs

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"towline/proxy/control"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
)

// A name that fails is tried again after firstRetry, then after twice as long
// each time up to lastRetry, give or take a quarter, so that a CA's limits on
// failures are respected and names do not come back all at once.
const (
	firstRetry = time.Minute
	lastRetry  = 6 * time.Hour
)

// acmeCA gets certificates from a CA and keeps them renewed: certmagic does the
// protocol, storage and renewal, this type decides which names, and when to try
// again. Every name has a goroutine of its own while it has no certificate, so
// that one never waits for another.
type acmeCA struct {
	log    *slog.Logger
	cache  *certmagic.Cache
	config *certmagic.Config
	issuer *certmagic.ACMEIssuer
	retry  time.Duration
	ctx    context.Context // ends at close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	open  bool // challenges can be answered
	names map[string]*acmeName
}

// acmeName is one host that is looked after.
type acmeName struct {
	ctx     context.Context // ends when it is forgotten
	cancel  context.CancelFunc
	attempt context.CancelCauseFunc // ends the attempt under way
	err     error
	next    time.Time
}

func newACME(o *Options) (*acmeCA, error) {
	a := &acmeCA{log: o.Log, retry: cmp.Or(o.CA.FirstRetry, firstRetry), names: map[string]*acmeName{}}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return a.config, nil },
		RenewCheckInterval: o.CA.RenewCheck,
		Logger:             zap.NewNop(), // failures come by event, and are logged once
	})
	a.config = certmagic.New(a.cache, certmagic.Config{
		Storage:   &certmagic.FileStorage{Path: filepath.Join(o.State, "acme")},
		OnEvent:   a.event,
		KeySource: certmagic.StandardKeyGenerator{KeyType: certmagic.P256},
		// A staple is asked for over the network while a certificate is loaded,
		// and a start does not wait for others. The large CAs have ended OCSP.
		OCSP:   certmagic.OCSPConfig{DisableStapling: true},
		Logger: zap.NewNop(),
	})
	template := certmagic.ACMEIssuer{
		CA: o.CA.ACME, TestCA: o.CA.ACME, Email: o.CA.Email, Agreed: true,
		AltHTTPPort: o.CA.HTTPPort, AltTLSALPNPort: o.CA.TLSPort,
		CertObtainTimeout: 3 * time.Minute,
		NewAccountFunc:    withoutPlaceholder,
		Logger:            zap.NewNop(),
	}
	if o.CA.EABKeyID != "" {
		template.ExternalAccount = &acme.EAB{KeyID: o.CA.EABKeyID, MACKey: o.CA.EABKey}
	}
	if o.CA.CARoots != "" {
		text, err := os.ReadFile(o.CA.CARoots)
		if err != nil {
			return nil, err
		}
		template.TrustedRoots = x509.NewCertPool()
		if !template.TrustedRoots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate", o.CA.CARoots)
		}
	}
	if o.CA.DNSProvider != nil {
		provider, ok := o.CA.DNSProvider.(certmagic.DNSProvider)
		if !ok {
			return nil, fmt.Errorf("%T cannot answer DNS challenges", o.CA.DNSProvider)
		}
		template.DNS01Solver = &certmagic.DNS01Solver{DNSManager: certmagic.DNSManager{
			DNSProvider: provider, Resolvers: o.CA.DNSResolvers, PropagationTimeout: 2 * time.Minute, Logger: zap.NewNop()}}
	}
	a.issuer = certmagic.NewACMEIssuer(a.config, template)
	a.config.Issuers = []certmagic.Issuer{a.issuer}
	return a, nil
}

// withoutPlaceholder: without a contact, certmagic keeps the account under the
// name "default", which it later takes for an address, and CAs refuse.
func withoutPlaceholder(_ context.Context, _ *certmagic.ACMEIssuer, account acme.Account) (acme.Account, error) {
	account.Contact = slices.DeleteFunc(account.Contact, func(c string) bool { return c == "mailto:default" })
	return account, nil
}

// begin starts with the names that were waiting for the listeners: a challenge
// that nobody answers would count as a failure at the CA.
func (a *acmeCA) begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open = true
	for host, n := range a.names {
		a.wg.Go(func() { a.look(host, n) })
	}
}

func (a *acmeCA) close() {
	a.cancel()
	a.wg.Wait()
	a.cache.Stop()
}

// manage begins to look after host, unless that is so already. A certificate on
// disk is served once manage has returned: at a start the first handshake gets it.
func (a *acmeCA) manage(host string) {
	if a.managed(host) {
		return
	}
	_, _ = a.config.CacheManagedCertificate(a.ctx, host) // an error is found again by try
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.names[host] != nil || a.ctx.Err() != nil {
		return
	}
	n := &acmeName{}
	n.ctx, n.cancel = context.WithCancel(a.ctx)
	a.names[host] = n
	if a.open {
		a.wg.Go(func() { a.look(host, n) })
	}
}

func (a *acmeCA) managed(host string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.names[host] != nil
}

// forget stops looking after host. Its certificate stays on disk, should the
// host come back.
func (a *acmeCA) forget(host string) {
	a.mu.Lock()
	n := a.names[host]
	delete(a.names, host)
	a.mu.Unlock()
	if n != nil {
		n.cancel()
		a.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: host}})
	}
}

// look returns once host has a valid certificate in the cache, where certmagic
// renews it, or is forgotten.
func (a *acmeCA) look(host string, n *acmeName) {
	wait := a.retry
	for {
		err := a.try(host, n)
		if n.ctx.Err() != nil {
			return
		}
		a.mu.Lock()
		n.err, n.next = err, time.Time{}
		if err != nil {
			n.next = time.Now().Add(wait*3/4 + rand.N(wait/2+1))
		}
		next := n.next
		a.mu.Unlock()
		if err == nil {
			a.log.Info("certificate is ready", "host", host)
			return
		}
		a.log.Error("no certificate", "host", host, "error", err, "next_retry", next.UTC().Format(time.RFC3339))
		select {
		case <-time.After(time.Until(next)):
		case <-n.ctx.Done():
			return
		}
		wait = min(2*wait, lastRetry)
	}
}

// try loads the certificate, gets it if there is none, and renews it if it is
// due. One that is due, or even expired, is served meanwhile.
func (a *acmeCA) try(host string, n *acmeName) error {
	if strings.HasPrefix(host, "*.") && a.issuer.DNS01Solver == nil {
		return errors.New("a wildcard needs a DNS challenge; set tls.dns_provider")
	}
	cert, err := a.config.CacheManagedCertificate(n.ctx, host)
	if err == nil && !cert.NeedsRenewal(a.config) {
		return nil
	}
	ctx, cancel := context.WithCancelCause(n.ctx)
	defer cancel(nil)
	a.mu.Lock()
	n.attempt = cancel
	a.mu.Unlock()
	// certmagic would retry inside this call, at times that nobody could see;
	// the event of its first failure ends it. (Its call without retries asks
	// questions on the terminal.)
	if err == nil {
		err = a.config.RenewCertAsync(ctx, host, false)
	} else {
		err = a.config.ObtainCertAsync(ctx, host)
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err == nil {
		_, err = a.config.CacheManagedCertificate(n.ctx, host)
	}
	return err
}

// event learns of failures, and of renewals that certmagic makes on its own.
func (a *acmeCA) event(_ context.Context, event string, data map[string]any) error {
	host, _ := data["identifier"].(string)
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.names[host]
	switch {
	case n == nil:
		if event == "cert_obtaining" {
			return fmt.Errorf("%s is not routed", host)
		}
	case event == "cert_obtained":
		n.err = nil
	case event == "cert_failed":
		err, _ := data["error"].(error)
		n.err = explainACME(err)
		if n.attempt != nil {
			n.attempt(n.err)
		}
	}
	return nil
}

// explainACME takes the CA's own words out of the wrapping.
func explainACME(err error) error {
	if err == nil {
		return errors.New("failed")
	}
	var p acme.Problem
	if errors.As(err, &p) && p.Detail != "" {
		return errors.New(p.Detail)
	}
	return err
}

// challenging tells whether a handshake is a TLS-ALPN-01 challenge.
func (a *acmeCA) challenging(hello *tls.ClientHelloInfo) bool {
	return slices.Equal(hello.SupportedProtos, []string{acmez.ACMETLS1Protocol})
}

func (a *acmeCA) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return a.config.GetCertificate(hello)
}

// answer returns the answer to an HTTP-01 challenge. false: it is not one of ours.
func (a *acmeCA) answer(method, host, target string) (string, bool) {
	r := &http.Request{Method: method, URL: &url.URL{Path: target}, Host: host, RequestURI: target, Header: http.Header{}}
	w := challengeWriter{header: http.Header{}}
	ok := a.issuer.HandleHTTPChallenge(&w, r)
	return w.body, ok
}

// challengeWriter collects the answer to a challenge.
type challengeWriter struct {
	body   string
	header http.Header
}

func (w *challengeWriter) Header() http.Header { return w.header }
func (w *challengeWriter) WriteHeader(int)     {}
func (w *challengeWriter) Write(b []byte) (int, error) {
	w.body += string(b)
	return len(b), nil
}

// current is the newest certificate that is cached for host.
func (a *acmeCA) current(host string) *x509.Certificate {
	var newest *x509.Certificate
	for _, c := range a.cache.AllMatchingCertificates(host) {
		if c.Leaf != nil && (newest == nil || c.Leaf.NotAfter.After(newest.NotAfter)) {
			newest = c.Leaf
		}
	}
	return newest
}

func (a *acmeCA) state(host string) control.Certificate {
	s := control.Certificate{Host: host, Kind: "acme", State: "pending"}
	if leaf := a.current(host); leaf != nil {
		s.Issuer, s.NotAfter = leaf.Issuer.CommonName, leaf.NotAfter
		if time.Now().Before(leaf.NotAfter) {
			s.State = "valid"
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := a.names[host]; n != nil && n.err != nil {
		s.Error, s.Retry = n.err.Error(), n.next
		if s.State == "pending" {
			s.State = "failing"
		}
	}
	return s
}
