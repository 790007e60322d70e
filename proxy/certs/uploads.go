package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"towline/proxy/durable"
)

// uploads are the certificates that users brought, by host, each in a file of
// its own below uploaded/: key and chain together, so that they change in one step.
type uploads struct {
	dir string
	mu  sync.RWMutex
	set map[string]*tls.Certificate
}

// openUploads reads what is there. A file that cannot be read is a problem of
// its host alone.
func openUploads(dir string) (u *uploads, problems []error, err error) {
	u = &uploads{dir: filepath.Join(dir, "uploaded"), set: map[string]*tls.Certificate{}}
	if err := os.MkdirAll(u.dir, 0o700); err != nil {
		return nil, nil, err
	}
	files, err := filepath.Glob(filepath.Join(u.dir, "*.pem"))
	if err != nil {
		return nil, nil, err
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err == nil {
			var cert tls.Certificate
			if cert, err = tls.X509KeyPair(text, text); err == nil {
				u.set[strings.TrimSuffix(filepath.Base(f), ".pem")] = &cert
				continue
			}
		}
		problems = append(problems, err)
	}
	return u, problems, nil
}

func (u *uploads) path(host string) string { return filepath.Join(u.dir, host+".pem") }

// find returns the certificate for a name, or for the wildcard that covers it.
func (u *uploads) find(name string) *tls.Certificate {
	u.mu.RLock()
	defer u.mu.RUnlock()
	if len(u.set) == 0 {
		return nil
	}
	if c := u.set[name]; c != nil {
		return c
	}
	if dot := strings.IndexByte(name, '.'); dot > 0 {
		return u.set["*"+name[dot:]]
	}
	return nil
}

// put checks and keeps a certificate.
func (u *uploads) put(host string, chain, key []byte) error {
	cert, err := checkUpload(host, chain, key, time.Now())
	if err != nil {
		return err
	}
	text := append(append(bytes.TrimSpace(chain), '\n'), key...)
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := durable.Write(u.path(host), text, 0o600); err != nil {
		return err
	}
	u.set[host] = cert
	return nil
}

// delete tells whether there was one to delete.
func (u *uploads) delete(host string) (bool, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.set[host] == nil {
		return false, nil
	}
	if err := os.Remove(u.path(host)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	delete(u.set, host)
	return true, durable.SyncDir(u.dir)
}

// checkUpload refuses what browsers would refuse, as far as that shows without
// knowing their roots: users find out here, not from their visitors.
func checkUpload(host string, chain, key []byte, now time.Time) (*tls.Certificate, error) {
	for rest := chain; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, invalid("the certificate file holds a %s; it wants certificates alone, leaf first", strings.ToLower(block.Type))
		}
	}
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, invalid("%s", strings.TrimPrefix(err.Error(), "tls: "))
	}
	leaf := cert.Leaf
	if err := covers(leaf, host); err != nil {
		return nil, invalid("the certificate does not cover %s: it is for %s", host, strings.Join(leaf.DNSNames, ", "))
	}
	issued := leaf
	for i, der := range cert.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, invalid("certificate %d of the chain: %v", i+1, err)
		}
		if now.After(c.NotAfter) {
			return nil, invalid("certificate %d of the chain expired on %s", i+1, c.NotAfter.Format(time.DateOnly))
		}
		if now.Before(c.NotBefore) {
			return nil, invalid("certificate %d of the chain is not valid before %s", i+1, c.NotBefore.Format(time.DateOnly))
		}
		if i > 0 {
			if err := issued.CheckSignatureFrom(c); err != nil {
				return nil, invalid("certificate %d of the chain did not sign the one before it; order them leaf first", i+1)
			}
		}
		issued = c
	}
	return &cert, nil
}

func covers(leaf *x509.Certificate, host string) error {
	if base, ok := strings.CutPrefix(host, "*."); ok {
		for _, n := range leaf.DNSNames {
			if strings.EqualFold(n, host) {
				return nil
			}
		}
		return x509.HostnameError{Certificate: leaf, Host: base}
	}
	return leaf.VerifyHostname(host)
}
