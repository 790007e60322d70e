package proxy_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// FuzzHTTP2Frames sends sequences of frames after a sound beginning. Whatever they
// are, the proxy answers with frames that golang.org/x/net/http2 takes, has no panic,
// tells the client of a ping or ends the connection, and serves others on.
//
// Each frame of an input is five bytes (type, flags, stream, two of length), then
// its content; types from 128 on stand for the block of a sound GET or POST.
func FuzzHTTP2Frames(f *testing.F) {
	s := start(f)
	s.deploy(shop(addr(app(f, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, strings.Repeat("x", 40_000))
	}))))
	for _, seed := range []string{
		"\x80\x05\x01\x00\x00" + "\x80\x05\x03\x00\x00",                                // two requests
		"\x81\x04\x01\x00\x00" + "\x00\x01\x01\x00\x05hello" + "\x00\x01\x01\x00\x01x", // DATA after the end
		"\x80\x05\x01\x00\x00" + "\x03\x00\x01\x00\x04\x00\x00\x00\x08",
		"\x80\x05\x01\x00\x00" + "\x08\x00\x00\x00\x04\x00\x00\x00\x00",
		"\x80\x05\x01\x00\x00" + "\x08\x00\x01\x00\x04\x7f\xff\xff\xff",
		"\x04\x00\x00\x00\x06\x00\x04\x00\x00\x00\x01" + "\x80\x05\x01\x00\x00" + "\x04\x00\x00\x00\x06\x00\x04\x00\x00\xff\xff",
		"\x01\x01\x01\x00\x03\x82\x87\x84" + "\x09\x04\x01\x00\x01\x41",
		"\x81\x0c\x01\x00\x00" + "\x00\x08\x01\x00\x05\x02ab\x00\x00" + "\x01\x05\x01\x00\x03\x00\x01x",
		"\x06\x00\x00\x00\x0812345678" + "\x07\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00",
		"\x80\x04\x01\x00\x00" + "\x80\x05\x01\x00\x00", // trailers that are a head
	} {
		f.Add([]byte(seed))
	}
	get := headers(nil)
	post := headers([][2]string{{":method!", "POST"}, {"content-length", "5"}})
	f.Fuzz(func(t *testing.T, input []byte) {
		s := &stand{Proxy: s.Proxy, t: t, options: s.options, client: s.client}
		c := s.dialH2()
		defer c.Close()
		go func() {
			frames := 0
			for ; len(input) >= 5 && frames < 100; frames++ {
				kind, flags, stream, n := input[0], input[1], uint32(input[2]), int(input[3])<<8|int(input[4])
				input = input[5:]
				n = min(n, len(input))
				payload := input[:n]
				input = input[n:]
				if kind >= 128 {
					payload = get
					if kind%2 == 1 {
						payload = post
					}
					kind = byte(http2.FrameHeaders)
				}
				if c.framer.WriteRawFrame(http2.FrameType(kind), http2.Flags(flags), stream, payload) != nil {
					return
				}
			}
			c.framer.WritePing(false, [8]byte{'e', 'n', 'd'})
		}()
		c.SetDeadline(time.Now().Add(30 * time.Second))
		for {
			frame, err := c.framer.ReadFrame()
			if err != nil {
				var closed net.Error
				if err != io.EOF && err != io.ErrUnexpectedEOF && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) ||
					errors.As(err, &closed) && closed.Timeout() {
					t.Fatalf("the proxy sent no sound frame: %v", err)
				}
				break
			}
			if p, ok := frame.(*http2.PingFrame); ok && p.IsAck() && p.Data == [8]byte{'e', 'n', 'd'} {
				break
			}
		}
		if n := s.Panics(); n > 0 {
			t.Fatalf("%d panics", n)
		}
		if got := s.get(shopURL); got.StatusCode != 200 || len(got.body) != 40_000 {
			t.Fatalf("the next request: %d, %d bytes", got.StatusCode, len(got.body))
		}
	})
}
