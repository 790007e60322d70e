package proxy_test

import (
	"net"
	"testing"
	"time"

	"towline/proxy"
)

// tcpPair is both ends of a TCP connection.
func tcpPair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}

// A connection can be closed while the handler of a stream is told of its data: whoever
// closes it holds the lock that telling needs.
func TestConnectionsCanBeClosedWhileDataIsHandedOn(t *testing.T) {
	_, server := tcpPair(t)
	closed := make(chan bool)
	c := proxy.Gathering(server, func() {
		go func() {
			server.Close()
			close(closed)
		}()
		select {
		case <-closed:
		case <-time.After(30 * time.Second):
			t.Error("the close waits for the reader, which waits for the close")
		}
	})
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a closed connection was read from")
	}
	<-closed
}
