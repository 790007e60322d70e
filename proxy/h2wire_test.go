package proxy_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// writeRequest sends a head, as headers tells, whole.
func (c *h2Conn) writeRequest(id uint32, end bool, fields [][2]string) {
	c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: headers(fields), EndStream: end, EndHeaders: true})
}

// dialRawH2 is a connection on which nothing was sent.
func (s *stand) dialRawH2(config *tls.Config) *h2Conn {
	s.t.Helper()
	c, err := tls.Dial("tcp", s.HTTPSAddr(), config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	h := &h2Conn{c, http2.NewFramer(c, c)}
	h.framer.AllowIllegalWrites = true
	h.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return h
}

// h2Answer is what came on a stream.
type h2Answer struct {
	status string
	fields map[string]string // trailers too
	body   string
	frames int
	end    string // why it broke off; empty: it did not
}

// answerOf reads until the stream has ended somehow.
func (c *h2Conn) answerOf(id uint32) h2Answer {
	a := h2Answer{fields: map[string]string{}}
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			a.end = err.Error()
			return a
		}
		if g, ok := f.(*http2.GoAwayFrame); ok && g.ErrCode != http2.ErrCodeNo {
			a.end = "goaway " + g.ErrCode.String()
			return a
		}
		if f.Header().StreamID != id {
			continue
		}
		switch f := f.(type) {
		case *http2.RSTStreamFrame:
			a.end = f.ErrCode.String()
			return a
		case *http2.MetaHeadersFrame:
			a.frames++
			for _, h := range f.Fields {
				if h.Name == ":status" {
					a.status = h.Value
				} else {
					a.fields[h.Name] = h.Value
				}
			}
			if f.StreamEnded() {
				return a
			}
		case *http2.DataFrame:
			a.frames++
			a.body += string(f.Data())
			if n := uint32(f.Length); n > 0 {
				c.framer.WriteWindowUpdate(0, n)
				c.framer.WriteWindowUpdate(id, n)
			}
			if f.StreamEnded() {
				return a
			}
		}
	}
}

// h2Target is a connection to an app that speaks HTTP/2 by hand.
type h2Target struct {
	net.Conn
	framer *http2.Framer
}

// h2cApp is an app for which f speaks on every connection but a probe's. Its
// preface and the first settings are done.
func h2cApp(t testing.TB, f func(c *h2Target)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer raw.Close()
				raw.SetDeadline(time.Now().Add(time.Minute))
				if _, err := io.ReadFull(raw, make([]byte, len(http2.ClientPreface))); err != nil {
					return
				}
				c := &h2Target{raw, http2.NewFramer(raw, raw)}
				c.framer.AllowIllegalWrites = true
				c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
				c.framer.WriteSettings()
				f(c)
			}()
		}
	}()
	return l.Addr().String()
}

// request waits for the next request that is not a probe, and answers probes; 0:
// the connection has ended.
func (c *h2Target) request() uint32 {
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			return 0
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				c.framer.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			for _, h := range f.Fields {
				if h.Name == "user-agent" && h.Value == "towline-health" {
					c.writeAnswer(f.StreamID, true, "200", nil)
					goto probe
				}
			}
			return f.StreamID
		}
	probe:
	}
}

// writeAnswer sends the head of an answer.
func (c *h2Target) writeAnswer(id uint32, end bool, status string, fields [][2]string) {
	c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: answerBlock(status, fields), EndStream: end, EndHeaders: true})
}

// writeLong is writeAnswer for a head that may need several frames. It ends the stream
// unless the answer is an interim one.
func (c *h2Target) writeLong(id uint32, status string, fields [][2]string) {
	const most = 16 << 10
	block := answerBlock(status, fields)
	n := min(len(block), most)
	c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:n], EndStream: status[0] != '1' || len(status) != 3, EndHeaders: n == len(block)})
	for block = block[n:]; len(block) > 0; block = block[n:] {
		n = min(len(block), most)
		c.framer.WriteContinuation(id, n == len(block), block[:n])
	}
}

func answerBlock(status string, fields [][2]string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	e.WriteField(hpack.HeaderField{Name: ":status", Value: status})
	for _, f := range fields {
		e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	return b.Bytes()
}

// echoBody answers with the sum of the request's body.
func echoBody(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	if _, err := io.Copy(sum, r.Body); err == nil {
		io.WriteString(w, hex.EncodeToString(sum.Sum(nil)))
	}
}

// uploadTo sends content to an app that does echoBody, and checks what arrived.
func uploadTo(ctx context.Context, c *http.Client, url string, content []byte) error {
	r, err := http.NewRequestWithContext(ctx, "POST", url, bytes.NewReader(content))
	if err != nil {
		return err
	}
	res, err := c.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	want := sha256.Sum256(content)
	if err == nil && (res.StatusCode != 200 || string(got) != hex.EncodeToString(want[:])) {
		err = fmt.Errorf("status %d, of %d bytes other ones arrived: %.100q", res.StatusCode, len(content), got)
	}
	return err
}
