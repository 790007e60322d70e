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

// Who waits for much gets it in one piece, and what there is when no more comes.
func TestWaitForMuchEnds(t *testing.T) {
	client, server := tcpPair(t)
	expired := make(chan bool, 1000)
	c := proxy.Awaiting(server, func() { expired <- true })
	client.Write([]byte("some"))
	b := make([]byte, 1<<20)
	if n, err := c.Read(b); err != nil || string(b[:n]) != "some" {
		t.Fatalf("%q %v", b[:n], err)
	}
	read := make(chan int)
	go func() {
		for {
			n, err := c.Read(b)
			read <- n
			if err != nil {
				return
			}
		}
	}()
	for range 3 {
		select {
		case <-expired: // those who wait for what was read are told
		case <-time.After(30 * time.Second):
			t.Fatal("nobody is told that no more comes")
		}
		client.Write([]byte("little"))
		select {
		case n := <-read:
			if n != len("little") {
				t.Errorf("%d bytes", n)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("a little is waited with for ever")
		}
	}
	client.Close()
	select {
	case <-read:
	case <-time.After(30 * time.Second):
		t.Fatal("the end is not noticed")
	}
}
