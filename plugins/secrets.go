package plugins

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"math/big"
	"time"
)

// NewSecrets generates the secrets and the certificates of a new add-on. Secrets are
// safe in a URL and in any file.
func (m *Manifest) NewSecrets() map[string]string {
	secrets, err := m.newSecrets()
	if err != nil {
		panic(err) // only if the system has no randomness
	}
	return secrets
}

func (m *Manifest) newSecrets() (map[string]string, error) {
	out := map[string]string{}
	for _, s := range m.Secrets {
		out[s.Name] = s.First
		if s.First == "" {
			out[s.Name] = newSecret(s)
		}
	}
	for _, c := range m.Certificates {
		cert, key, err := newCertificate(m.Name)
		if err != nil {
			return nil, err
		}
		out[c.Name+"_cert"], out[c.Name+"_key"] = cert, key
	}
	return out, nil
}

// Completed returns the secrets of an add-on that was made by an earlier manifest, with new
// ones for those that it did not have; added tells whether there are any.
func (m *Manifest) Completed(secrets map[string]string) (all map[string]string, added bool) {
	all = m.NewSecrets()
	for name := range all {
		if _, there := secrets[name]; !there {
			added = true
		}
	}
	maps.Copy(all, secrets)
	return all, added
}

// Rotated returns the secrets with every password replaced; certificates stay.
func (m *Manifest) Rotated(secrets map[string]string) map[string]string {
	out := map[string]string{}
	for name, value := range secrets {
		out[name] = value
	}
	for _, s := range m.Secrets {
		out[s.Name] = newSecret(s)
	}
	return out
}

func newSecret(s Secret) string {
	bits := s.Bits
	if bits == 0 {
		bits = 192
	}
	b := make([]byte, (bits+7)/8)
	_, _ = rand.Read(b) // never fails: see its documentation
	// A leading dash would be taken for a flag by some client.
	return "t" + base64.RawURLEncoding.EncodeToString(b)
}

// newCertificate is self-signed: it hides the traffic from a listener; clients reach
// the service by a private network and a name that no CA could sign.
func newCertificate(name string) (cert, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return "", "", err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name, "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, private.Public(), private)
	if err != nil {
		return "", "", err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", keyDER), nil
}
