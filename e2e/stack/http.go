package stack

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// RootFile is the certificate of the local CA, in PEM.
func (s *Stack) RootFile() string { return s.path("proxy", "ca", "root.crt") }

// TLS trusts the stack's local CA and nothing else.
func (s *Stack) TLS() (*tls.Config, error) {
	pem, err := os.ReadFile(s.RootFile())
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", s.RootFile())
	}
	return &tls.Config{RootCAs: roots}, nil
}

// Client connects every request, whatever its host, to the proxy.
func (s *Stack) Client(keepAlive bool) (*http.Client, error) {
	config, err := s.TLS()
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: 10 * time.Second}
	return &http.Client{
		Timeout: 3 * time.Minute, // longer than any request is made to wait
		Transport: &http.Transport{
			TLSClientConfig:   config,
			DisableKeepAlives: !keepAlive,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, loopback(s.HTTPSPort))
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// URL is the address of a page of an app.
func (s *Stack) URL(app, path string) string {
	return fmt.Sprintf("https://%s.localhost:%d%s", app, s.HTTPSPort, path)
}

// Get fetches a page of an app over HTTPS, on a connection of its own.
func (s *Stack) Get(ctx context.Context, app, path string) (status int, body string, err error) {
	client, err := s.Client(false)
	if err != nil {
		return 0, "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL(app, path), nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// tlsClient makes a connection a TLS one, for HTTP/1.1.
func tlsClient(ctx context.Context, raw net.Conn, config *tls.Config) (net.Conn, error) {
	config = config.Clone()
	config.NextProtos = []string{"http/1.1"}
	conn := tls.Client(raw, config)
	return conn, conn.HandshakeContext(ctx)
}
