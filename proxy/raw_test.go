package proxy_test

import (
	"crypto/tls"
	"net"
)

// dialTLS opens a connection for HTTP/1.1, to be spoken by hand.
func (s *stand) dialTLS() net.Conn {
	s.t.Helper()
	config := s.tlsConfig()
	config.ServerName = "shop.localhost"
	c, err := tls.Dial("tcp", s.HTTPSAddr(), config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// dialPlain opens a connection to the plain listener.
func (s *stand) dialPlain() net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.HTTPAddr())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}
