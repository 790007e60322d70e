package proxy

import (
	"crypto/tls"
	"encoding/pem"
)

// suites are those of TLS 1.2: with forward secrecy, and encrypted and
// authenticated in one step. Those of TLS 1.3 all are, and cannot be chosen.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

func (p *Proxy) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		CipherSuites:   suites,
		GetCertificate: p.certs.Get,
		// A client that says http/1.0 alone, as curl --http1.0 does, would get no
		// handshake if that were not offered.
		NextProtos: append([]string{"h2", "http/1.1", "http/1.0"}, p.certs.Protocols()...),
		// Small first records would double the work for small answers.
		DynamicRecordSizingDisabled: true,
	}
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
