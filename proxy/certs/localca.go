package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"towline/proxy/durable"
)

// Lifetimes of the local CA. Leaves live in memory alone and are short, because
// making one takes no time.
const (
	rootLife    = 10 * 365 * 24 * time.Hour
	leafLife    = 30 * 24 * time.Hour
	leafRenewal = 10 * 24 * time.Hour // before its end
)

// localCA signs names that no public CA would: *.localhost, bare hosts,
// addresses. Its root is at ca/root.crt in the state directory, to be trusted
// by whoever wants to.
type localCA struct {
	root *x509.Certificate
	key  *ecdsa.PrivateKey

	mu     sync.Mutex
	leaves map[string]*tls.Certificate // by routed host, which bounds them
}

func openLocalCA(dir string) (*localCA, error) {
	dir = filepath.Join(dir, "ca")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	crt, key := filepath.Join(dir, "root.crt"), filepath.Join(dir, "root.key")
	ca := &localCA{leaves: map[string]*tls.Certificate{}}
	err := ca.read(crt, key)
	if errors.Is(err, os.ErrNotExist) {
		err = ca.create(crt, key)
	}
	if err != nil {
		return nil, fmt.Errorf("local CA: %w", err)
	}
	return ca, nil
}

func (ca *localCA) read(crt, key string) error {
	pair, err := tls.LoadX509KeyPair(crt, key)
	if err != nil {
		return err
	}
	var ok bool
	if ca.key, ok = pair.PrivateKey.(*ecdsa.PrivateKey); !ok {
		return fmt.Errorf("%s is not an ECDSA key", key)
	}
	ca.root = pair.Leaf
	return nil
}

// create writes the key first: a certificate without its key would be useless
// and yet be found.
func (ca *localCA) create(crt, key string) error {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	name, err := os.Hostname()
	if err != nil {
		name = "this machine"
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "Towline local CA of " + name, Organization: []string{"Towline"}},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(rootLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return err
	}
	if err := durable.Write(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		return err
	}
	if err := durable.Write(crt, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		return err
	}
	return ca.read(crt, key)
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return n
}

// leaf returns the certificate of host, which is routed and covers name. One is
// kept for each host; a wildcard has one for all names under it, for a client may
// ask for as many of these as it likes.
func (ca *localCA) leaf(host, name string) (*tls.Certificate, error) {
	if strings.Count(host, ".") == 1 && strings.HasPrefix(host, "*.") {
		// OpenSSL takes no wildcard right below a top-level name, such as
		// *.localhost. One for the name is signed each time and not kept.
		return ca.sign(name)
	}
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if c := ca.leaves[host]; c != nil && time.Until(c.Leaf.NotAfter) > leafRenewal {
		return c, nil
	}
	c, err := ca.sign(host)
	if err == nil {
		ca.leaves[host] = c
	}
	return c, err
}

func (ca *localCA) sign(name string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(leafLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		template.IPAddresses = append(template.IPAddresses, addr.AsSlice())
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.root, key.Public(), ca.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, ca.root.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// forget drops the leaf of a host that is routed no more.
func (ca *localCA) forget(host string) {
	ca.mu.Lock()
	delete(ca.leaves, host)
	ca.mu.Unlock()
}
