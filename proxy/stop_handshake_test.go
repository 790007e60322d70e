package proxy_test

import (
	"context"
	"net"
	"net/http"
	"testing"

	"golang.org/x/net/http2"
)

// A stop says good-bye also to those HTTP/2 connections whose handshake ends after it
// has begun.
func TestStopDuringAHandshake(t *testing.T) {
	s := start(t)
	release := make(chan bool)
	s.deploy(shop(addr(app(t, forVisitors(func(http.ResponseWriter, *http.Request) { <-release })))))
	late, err := net.Dial("tcp", s.HTTPSAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	busy := s.dialH2() // accepted after the other
	busy.get(1)
	busy.framer.WritePing(false, [8]byte{})
	busy.await(t, func(f http2.Frame) bool { return f.Header().Type == http2.FramePing })
	stopped := make(chan error)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	isGoodBye := func(f http2.Frame) bool { return f.Header().Type == http2.FrameGoAway }
	busy.await(t, isGoodBye)
	c := s.speakH2(late)
	c.await(t, func(f http2.Frame) bool { return f.Header().Type == http2.FrameSettings })
	c.await(t, isGoodBye)
	close(release)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
