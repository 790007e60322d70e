package proxy_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2Conn is an HTTP/2 connection to be spoken by hand.
type h2Conn struct {
	*tls.Conn
	framer *http2.Framer
}

func (s *stand) dialH2() *h2Conn {
	s.t.Helper()
	raw, err := net.Dial("tcp", s.HTTPSAddr())
	if err != nil {
		s.t.Fatal(err)
	}
	return s.speakH2(raw)
}

// speakH2 begins to speak HTTP/2 on a connection on which nothing was said.
func (s *stand) speakH2(raw net.Conn) *h2Conn {
	s.t.Helper()
	config := s.tlsConfig()
	config.ServerName, config.NextProtos = "shop.localhost", []string{"h2"}
	c := tls.Client(raw, config)
	s.t.Cleanup(func() { c.Close() })
	if err := c.Handshake(); err != nil {
		s.t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	c.Write([]byte(http2.ClientPreface))
	h := &h2Conn{c, http2.NewFramer(c, c)}
	h.framer.AllowIllegalWrites = true
	h.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	h.framer.WriteSettings()
	return h
}

// headers encodes a GET of /, changed by fields: a pseudo field with "!" takes
// the place of the usual one.
func headers(fields [][2]string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	usual := [][2]string{{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", "shop.localhost"}}
	for i := range usual {
		for _, f := range fields {
			if f[0] == usual[i][0]+"!" {
				usual[i][1] = f[1]
			}
		}
	}
	for _, f := range append(usual, fields...) {
		if !strings.HasSuffix(f[0], "!") {
			e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
	}
	return b.Bytes()
}

// outcome reads until the stream has ended somehow, and tells how.
func (c *h2Conn) outcome(stream uint32) string {
	status := ""
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			return fmt.Sprint("error ", err)
		}
		switch f := f.(type) {
		case *http2.RSTStreamFrame:
			if f.StreamID == stream {
				return fmt.Sprint("reset ", uint32(f.ErrCode))
			}
		case *http2.GoAwayFrame:
			return fmt.Sprint("goaway ", uint32(f.ErrCode))
		case *http2.MetaHeadersFrame:
			if f.StreamID == stream {
				status = "status " + f.PseudoValue("status")
			}
			if f.StreamEnded() {
				return status
			}
		case *http2.DataFrame:
			if f.StreamID == stream && f.StreamEnded() {
				return status
			}
		}
	}
}

// h2Raw sends one request on a connection of its own.
func (s *stand) h2Raw(t *testing.T, fields [][2]string) string {
	t.Helper()
	c := s.dialH2()
	defer c.Close()
	c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers(fields), EndStream: true, EndHeaders: true})
	return c.outcome(1)
}

func TestHTTP2Violations(t *testing.T) {
	s := start(t)
	s.deploy(shop(addr(app(t, says("ok")))))
	for name, step := range map[string]struct {
		send func(f *http2.Framer)
		want string
	}{
		"even stream": {func(f *http2.Framer) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2, BlockFragment: headers(nil), EndStream: true, EndHeaders: true})
		}, "goaway 1"},
		"data on idle stream": {func(f *http2.Framer) { f.WriteData(7, true, []byte("x")) }, "goaway 1"},
		"continuation alone":  {func(f *http2.Framer) { f.WriteContinuation(1, true, headers(nil)) }, "goaway 1"},
		"interleaved": {func(f *http2.Framer) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers(nil)})
			f.WritePing(false, [8]byte{})
		}, "goaway 1"},
		"rubbish block": {func(f *http2.Framer) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, EndHeaders: true})
		}, "goaway 9"},
		"window overflow":      {func(f *http2.Framer) { f.WriteWindowUpdate(0, 1<<31-1) }, "goaway 3"},
		"zero window":          {func(f *http2.Framer) { f.WriteWindowUpdate(0, 0) }, "goaway 1"},
		"settings on stream":   {func(f *http2.Framer) { f.WriteRawFrame(http2.FrameSettings, 0, 1, nil) }, "goaway 1"},
		"short settings":       {func(f *http2.Framer) { f.WriteRawFrame(http2.FrameSettings, 0, 0, []byte{1}) }, "goaway 6"},
		"tiny frame size":      {func(f *http2.Framer) { f.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1}) }, "goaway 1"},
		"large frame":          {func(f *http2.Framer) { f.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, 17<<10)) }, "goaway 6"},
		"short ping":           {func(f *http2.Framer) { f.WriteRawFrame(http2.FramePing, 0, 0, []byte{1}) }, "goaway 6"},
		"push promise":         {func(f *http2.Framer) { f.WriteRawFrame(http2.FramePushPromise, 0, 1, make([]byte, 8)) }, "goaway 1"},
		"reset of idle stream": {func(f *http2.Framer) { f.WriteRSTStream(9, http2.ErrCodeCancel) }, "goaway 1"},
		"padding beyond": {func(f *http2.Framer) {
			f.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersPadded|4, 1, []byte{200, 1})
		}, "goaway 1"},
		"continuation flood": {func(f *http2.Framer) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers(nil)})
			for range 40 {
				if f.WriteContinuation(1, false, make([]byte, 16<<10)) != nil {
					return
				}
			}
		}, "goaway 11"},
		"more data than length": {func(f *http2.Framer) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers([][2]string{{"content-length", "3"}}), EndHeaders: true})
			f.WriteData(1, true, []byte("12345"))
		}, "reset 1"},
		"less data than length": {func(f *http2.Framer) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers([][2]string{{"content-length", "9"}}), EndHeaders: true})
			f.WriteData(1, true, []byte("12345"))
		}, "reset 1"},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dialH2()
			step.send(c.framer)
			if got := c.outcome(1); got != step.want {
				t.Errorf("got %s, want %s", got, step.want)
			}
		})
	}
}

// Opening streams and resetting them at once costs a client nothing.
func TestRapidResetEndsTheConnection(t *testing.T) {
	s := start(t)
	s.deploy(shop(rawAnswer(t, "")))
	c := s.dialH2()
	go func() {
		for id := uint32(1); id < 4001; id += 2 {
			if c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: headers(nil), EndStream: true, EndHeaders: true}) != nil ||
				c.framer.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
				return
			}
		}
	}()
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			t.Fatalf("no GOAWAY: %v", err)
		}
		if g, ok := f.(*http2.GoAwayFrame); ok {
			if g.ErrCode != http2.ErrCodeEnhanceYourCalm {
				t.Errorf("got %v", g.ErrCode)
			}
			return
		}
	}
}
