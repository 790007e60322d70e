package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// What RFC 9113 and RFC 7541 ask of a server, frame by frame: the cases that h2spec
// has, without those that RFC 9113 took out, and some more. A case ends with what
// the server does: "goaway CODE", "reset CODE" of stream 1 or of the one named,
// "status", "pong" to a ping that came last, or "closed".

// Codes by their names in RFC 9113, 7.
const (
	goProtocol = "goaway PROTOCOL_ERROR"
	goFlow     = "goaway FLOW_CONTROL_ERROR"
	goSize     = "goaway FRAME_SIZE_ERROR"
	goClosed   = "goaway STREAM_CLOSED"
	goBlock    = "goaway COMPRESSION_ERROR"
	rstProto   = "reset PROTOCOL_ERROR"
	rstFlow    = "reset FLOW_CONTROL_ERROR"
	rstClosed  = "reset STREAM_CLOSED"
	ok200      = "status 200"
	pong       = "pong"
)

// either joins outcomes that the RFC leaves to the server.
func either(outcomes ...string) string { return strings.Join(outcomes, "|") }

// hold is a request whose answer never comes, post one whose body is to follow.
func (c *h2Conn) hold(id uint32) { c.writeRequest(id, true, [][2]string{{":path!", "/hold"}}) }
func (c *h2Conn) post(id uint32, more ...[2]string) {
	c.writeRequest(id, false, append([][2]string{{":method!", "POST"}}, more...))
}

// done is a request that has been answered.
func (c *h2Conn) done(id uint32) {
	c.get(id)
	c.answerOf(id)
}

func (c *h2Conn) frame(kind http2.FrameType, flags http2.Flags, id uint32, payload ...byte) {
	c.framer.WriteRawFrame(kind, flags, id, payload)
}

func (c *h2Conn) ping() { c.framer.WritePing(false, [8]byte{1}) }

// blockOf sends a header block as it is, with END_STREAM and END_HEADERS.
func (c *h2Conn) blockOf(id uint32, block ...byte) {
	c.frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, id, block...)
}

// setting sends one.
func (c *h2Conn) setting(id http2.SettingID, value uint32) {
	c.framer.WriteSettings(http2.Setting{ID: id, Val: value})
}

// fate reads until it is known what the server does.
func (c *h2Conn) fate(id uint32) string {
	c.SetDeadline(time.Now().Add(30 * time.Second))
	status := ""
	for {
		f, err := c.framer.ReadFrame()
		if err == io.EOF || err != nil && strings.Contains(err.Error(), "reset by peer") {
			return "closed"
		}
		if err != nil {
			return err.Error()
		}
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			return "goaway " + f.ErrCode.String()
		case *http2.RSTStreamFrame:
			if f.StreamID == id && f.ErrCode != http2.ErrCodeNo {
				return "reset " + f.ErrCode.String()
			}
		case *http2.PingFrame:
			if f.IsAck() {
				return pong
			}
		case *http2.MetaHeadersFrame:
			if f.StreamID == id {
				status = "status " + f.PseudoValue("status")
				if f.StreamEnded() {
					return status
				}
			}
		case *http2.DataFrame:
			if f.StreamID == id && f.StreamEnded() {
				return status
			}
		}
	}
}

// literal is a field without indexing, as it is.
func literal(name, value string) []byte {
	b := []byte{0, byte(len(name))}
	b = append(b, name...)
	b = append(b, byte(len(value)))
	return append(b, value...)
}

// pseudo is the beginning of a block: GET https shop.localhost /.
var pseudo = append([]byte{0x82, 0x87, 0x84}, literal(":authority", "shop.localhost")...)

func withPseudo(more ...byte) []byte { return append(slices.Clone(pseudo), more...) }

var h2spec = []struct {
	section, name string
	send          func(c *h2Conn)
	want          string
}{
	// Frames.
	{"4.1", "a frame of an unknown type", func(c *h2Conn) { c.frame(0x16, 0, 0, 1, 2, 3); c.ping() }, pong},
	{"4.1", "unknown flags", func(c *h2Conn) { c.frame(http2.FramePing, 0xfe, 0, 1, 2, 3, 4, 5, 6, 7, 8) }, pong},
	{"4.1", "the reserved bit", func(c *h2Conn) { c.frame(http2.FramePing, 0, 1<<31, 1, 2, 3, 4, 5, 6, 7, 8) }, pong},
	{"4.2", "the largest frame that is allowed", func(c *h2Conn) {
		c.post(1)
		c.framer.WriteData(1, true, make([]byte, 16384))
	}, ok200},
	{"4.2", "DATA that is too large", func(c *h2Conn) {
		c.post(1)
		c.framer.WriteData(1, true, make([]byte, 16385))
	}, either(goSize, "reset FRAME_SIZE_ERROR")},
	{"4.2", "HEADERS that are too large", func(c *h2Conn) { c.blockOf(1, make([]byte, 16385)...) }, goSize},
	{"4.2", "SETTINGS that are too large", func(c *h2Conn) { c.frame(http2.FrameSettings, 0, 0, make([]byte, 16386)...) }, goSize},
	{"5.5", "an unknown setting", func(c *h2Conn) { c.setting(0xff, 1); c.ping() }, pong},
	{"5.5", "an unknown frame inside a header block", func(c *h2Conn) {
		c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers(nil), EndStream: true})
		c.frame(0x16, 0, 0, 1)
	}, goProtocol},

	// Streams that are idle.
	{"5.1", "idle: DATA", func(c *h2Conn) { c.framer.WriteData(1, true, []byte("x")) }, goProtocol},
	{"5.1", "idle: RST_STREAM", func(c *h2Conn) { c.framer.WriteRSTStream(1, http2.ErrCodeCancel) }, goProtocol},
	{"5.1", "idle: WINDOW_UPDATE", func(c *h2Conn) { c.framer.WriteWindowUpdate(1, 100) }, goProtocol},
	{"5.1", "idle: CONTINUATION", func(c *h2Conn) { c.framer.WriteContinuation(1, true, headers(nil)) }, goProtocol},
	{"5.1", "idle: PRIORITY", func(c *h2Conn) { c.framer.WritePriority(1, http2.PriorityParam{Weight: 255}); c.get(1) }, ok200},
	{"5.1", "skipped: DATA", func(c *h2Conn) { c.done(5); c.framer.WriteData(3, true, []byte("x")) }, either(goProtocol, goClosed)},
	// Half-closed by the client.
	{"5.1", "half closed: DATA", func(c *h2Conn) { c.hold(1); c.framer.WriteData(1, true, []byte("x")) }, either(rstClosed, goClosed)},
	{"5.1", "half closed: HEADERS", func(c *h2Conn) { c.hold(1); c.get(1) }, either(rstClosed, goClosed)},
	{"5.1", "half closed: CONTINUATION", func(c *h2Conn) { c.hold(1); c.framer.WriteContinuation(1, true, headers(nil)) }, either(goProtocol, goClosed)},
	{"5.1", "half closed: WINDOW_UPDATE", func(c *h2Conn) { c.hold(1); c.framer.WriteWindowUpdate(1, 100); c.ping() }, pong},
	{"5.1", "half closed: PRIORITY", func(c *h2Conn) { c.hold(1); c.framer.WritePriority(1, http2.PriorityParam{}); c.ping() }, pong},
	{"5.1", "half closed: RST_STREAM", func(c *h2Conn) { c.hold(1); c.framer.WriteRSTStream(1, http2.ErrCodeCancel); c.ping() }, pong},
	// Closed, by either way.
	{"5.1", "reset: DATA", func(c *h2Conn) {
		c.post(1)
		c.framer.WriteRSTStream(1, http2.ErrCodeCancel)
		c.framer.WriteData(1, true, []byte("x"))
	}, either(rstClosed, goClosed)},
	{"5.1", "reset: HEADERS", func(c *h2Conn) {
		c.post(1)
		c.framer.WriteRSTStream(1, http2.ErrCodeCancel)
		c.get(1)
	}, either(rstClosed, goClosed)},
	{"5.1", "reset: CONTINUATION", func(c *h2Conn) {
		c.post(1)
		c.framer.WriteRSTStream(1, http2.ErrCodeCancel)
		c.framer.WriteContinuation(1, true, headers(nil))
	}, either(goProtocol, goClosed)},
	{"5.1", "closed: DATA", func(c *h2Conn) { c.done(1); c.framer.WriteData(1, true, []byte("x")) }, either(rstClosed, goClosed)},
	{"5.1", "closed: HEADERS", func(c *h2Conn) { c.done(1); c.get(1) }, goClosed},
	{"5.1", "closed: CONTINUATION", func(c *h2Conn) { c.done(1); c.framer.WriteContinuation(1, true, headers(nil)) }, either(goProtocol, goClosed)},
	{"5.1", "closed: PRIORITY", func(c *h2Conn) { c.done(1); c.framer.WritePriority(1, http2.PriorityParam{}); c.ping() }, pong},
	{"5.1", "closed: WINDOW_UPDATE", func(c *h2Conn) { c.done(1); c.framer.WriteWindowUpdate(1, 100); c.ping() }, pong},
	{"5.1", "closed: RST_STREAM", func(c *h2Conn) { c.done(1); c.framer.WriteRSTStream(1, http2.ErrCodeCancel); c.ping() }, pong},
	{"5.1.1", "an even stream", func(c *h2Conn) { c.get(2) }, goProtocol},
	{"5.1.1", "a lower stream that was never opened", func(c *h2Conn) { c.done(5); c.get(3) }, goProtocol},
	{"5.1.2", "one stream too many", func(c *h2Conn) {
		for id := uint32(1); id < 2*250; id += 2 {
			c.hold(id)
		}
		c.hold(501)
	}, "reset REFUSED_STREAM of 501"},

	// DATA.
	{"6.1", "DATA on stream 0", func(c *h2Conn) { c.framer.WriteData(0, true, []byte("x")) }, goProtocol},
	{"6.1", "padding longer than the frame", func(c *h2Conn) { c.post(1); c.frame(http2.FrameData, http2.FlagDataPadded, 1, 6, 'x', 0, 0, 0, 0) }, goProtocol},
	{"6.1", "padding without its length", func(c *h2Conn) { c.post(1); c.frame(http2.FrameData, http2.FlagDataPadded, 1) }, either(goProtocol, goSize)},
	{"6.1", "padding and nothing else", func(c *h2Conn) {
		c.post(1)
		c.frame(http2.FrameData, http2.FlagDataPadded|http2.FlagDataEndStream, 1, 3, 0, 0, 0)
	}, ok200},
	// HEADERS.
	{"6.2", "HEADERS on stream 0", func(c *h2Conn) { c.get(0) }, goProtocol},
	{"6.2", "padding longer than HEADERS", func(c *h2Conn) { c.frame(http2.FrameHeaders, 0xd, 1, withPseudo(0)...) }, either(goProtocol, goBlock)},
	{"6.2", "HEADERS of another stream inside a block", func(c *h2Conn) {
		c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers(nil), EndStream: true})
		c.get(3)
	}, goProtocol},
	{"6.2", "PRIORITY inside a block", func(c *h2Conn) {
		c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers(nil), EndStream: true})
		c.framer.WritePriority(1, http2.PriorityParam{})
	}, goProtocol},
	{"6.2", "HEADERS with padding and priority", func(c *h2Conn) {
		c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers(nil), EndStream: true, EndHeaders: true,
			PadLength: 200, Priority: http2.PriorityParam{StreamDep: 7, Weight: 9, Exclusive: true}})
	}, ok200},
	{"6.2", "priority that is cut short", func(c *h2Conn) { c.frame(http2.FrameHeaders, 0x25, 1, 0, 0, 0) }, either(goSize, goProtocol)},
	// PRIORITY.
	{"6.3", "PRIORITY on stream 0", func(c *h2Conn) { c.framer.WritePriority(0, http2.PriorityParam{}) }, goProtocol},
	{"6.3", "PRIORITY of another length", func(c *h2Conn) { c.hold(1); c.frame(http2.FramePriority, 0, 1, 1, 2, 3, 4) }, either("reset FRAME_SIZE_ERROR", goSize)},
	// RST_STREAM.
	{"6.4", "RST_STREAM on stream 0", func(c *h2Conn) { c.framer.WriteRSTStream(0, http2.ErrCodeCancel) }, goProtocol},
	{"6.4", "RST_STREAM of another length", func(c *h2Conn) { c.hold(1); c.frame(http2.FrameRSTStream, 0, 1, 1, 2, 3) }, goSize},
	// SETTINGS.
	{"6.5", "SETTINGS are acknowledged", func(c *h2Conn) { c.setting(http2.SettingMaxConcurrentStreams, 9); c.get(1) }, ok200},
	{"6.5", "an acknowledgement with content", func(c *h2Conn) { c.frame(http2.FrameSettings, http2.FlagSettingsAck, 0, 0, 0, 0, 0, 0, 0) }, goSize},
	{"6.5", "SETTINGS on a stream", func(c *h2Conn) { c.frame(http2.FrameSettings, 0, 1, 0, 3, 0, 0, 0, 9) }, goProtocol},
	{"6.5", "SETTINGS of another length", func(c *h2Conn) { c.frame(http2.FrameSettings, 0, 0, 0, 3, 0, 0, 0) }, goSize},
	{"6.5.2", "ENABLE_PUSH of 2", func(c *h2Conn) { c.setting(http2.SettingEnablePush, 2) }, goProtocol},
	{"6.5.2", "a window of 2^31", func(c *h2Conn) { c.setting(http2.SettingInitialWindowSize, 1<<31) }, goFlow},
	{"6.5.2", "frames smaller than 2^14", func(c *h2Conn) { c.setting(http2.SettingMaxFrameSize, 1<<14-1) }, goProtocol},
	{"6.5.2", "frames of 2^24", func(c *h2Conn) { c.setting(http2.SettingMaxFrameSize, 1<<24) }, goProtocol},
	// PUSH_PROMISE, PING, GOAWAY.
	{"6.6", "PUSH_PROMISE of a client", func(c *h2Conn) { c.frame(http2.FramePushPromise, 4, 1, 0, 0, 0, 2, 0x82) }, goProtocol},
	{"6.7", "PING", func(c *h2Conn) { c.ping() }, pong},
	{"6.7", "PING on a stream", func(c *h2Conn) { c.frame(http2.FramePing, 0, 1, make([]byte, 8)...) }, goProtocol},
	{"6.7", "PING of another length", func(c *h2Conn) { c.frame(http2.FramePing, 0, 0, make([]byte, 6)...) }, goSize},
	{"6.7", "an acknowledgement that nobody asked for", func(c *h2Conn) { c.framer.WritePing(true, [8]byte{9}); c.get(1) }, ok200},
	{"6.8", "GOAWAY on a stream", func(c *h2Conn) { c.frame(http2.FrameGoAway, 0, 1, make([]byte, 8)...) }, goProtocol},
	{"6.8", "GOAWAY that is cut short", func(c *h2Conn) { c.frame(http2.FrameGoAway, 0, 0, make([]byte, 7)...) }, goSize},
	{"6.8", "GOAWAY, then what is under way", func(c *h2Conn) { c.post(1); c.framer.WriteGoAway(0, 0, nil); c.framer.WriteData(1, true, []byte("x")) }, ok200},
	// WINDOW_UPDATE.
	{"6.9", "no increment", func(c *h2Conn) { c.framer.WriteWindowUpdate(0, 0) }, goProtocol},
	{"6.9", "no increment of a stream", func(c *h2Conn) { c.hold(1); c.framer.WriteWindowUpdate(1, 0) }, rstProto},
	{"6.9", "WINDOW_UPDATE of another length", func(c *h2Conn) { c.frame(http2.FrameWindowUpdate, 0, 0, 1, 2, 3) }, goSize},
	{"6.9.1", "more than the connection's window can hold", func(c *h2Conn) {
		c.framer.WriteWindowUpdate(0, 1<<31-1)
		c.framer.WriteWindowUpdate(0, 1<<31-1)
	}, goFlow},
	{"6.9.1", "more than a stream's window can hold", func(c *h2Conn) {
		c.hold(1)
		c.framer.WriteWindowUpdate(1, 1<<31-1)
		c.framer.WriteWindowUpdate(1, 1<<31-1)
	}, rstFlow},
	{"6.9.2", "SETTINGS that overflow a window", func(c *h2Conn) {
		c.hold(1)
		c.framer.WriteWindowUpdate(1, 1<<31-1-65535)
		c.setting(http2.SettingInitialWindowSize, 1<<17)
	}, goFlow},
	// CONTINUATION.
	{"6.10", "a block in many pieces", func(c *h2Conn) {
		b := headers(nil)
		c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b[:1], EndStream: true})
		for i := 1; i < len(b); i++ {
			c.framer.WriteContinuation(1, i == len(b)-1, b[i:i+1])
		}
	}, ok200},
	{"6.10", "CONTINUATION on stream 0", func(c *h2Conn) {
		c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers(nil), EndStream: true})
		c.framer.WriteContinuation(0, true, nil)
	}, goProtocol},
	{"6.10", "CONTINUATION after the end of a block", func(c *h2Conn) { c.hold(1); c.framer.WriteContinuation(1, true, headers(nil)) }, either(goProtocol, goClosed)},
	{"6.10", "CONTINUATION after DATA", func(c *h2Conn) {
		c.post(1)
		c.framer.WriteData(1, false, []byte("x"))
		c.framer.WriteContinuation(1, true, headers(nil))
	}, goProtocol},
	{"6.10", "DATA inside a block", func(c *h2Conn) {
		c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers(nil)})
		c.framer.WriteData(1, true, []byte("x"))
	}, goProtocol},

	// Messages.
	{"8.1", "a second head that ends nothing", func(c *h2Conn) { c.post(1); c.post(1) }, rstProto},
	{"8.1", "trailers with a pseudo-header", func(c *h2Conn) {
		c.post(1)
		c.framer.WriteData(1, false, []byte("x"))
		c.blockOf(1, 0x82)
	}, rstProto},
	{"8.1", "trailers", func(c *h2Conn) {
		c.post(1)
		c.framer.WriteData(1, false, []byte("x"))
		c.blockOf(1, literal("x-sum", "1")...)
	}, ok200},
	{"8.1.1", "less than content-length", func(c *h2Conn) {
		c.post(1, [2]string{"content-length", "9"})
		c.framer.WriteData(1, true, []byte("12345"))
	}, rstProto},
	{"8.1.1", "more than content-length, in two frames", func(c *h2Conn) {
		c.post(1, [2]string{"content-length", "6"})
		c.framer.WriteData(1, false, []byte("12345"))
		c.framer.WriteData(1, true, []byte("12345"))
	}, rstProto},
	{"8.1.1", "content-length without a body", func(c *h2Conn) { c.writeRequest(1, true, [][2]string{{"content-length", "1"}}) }, rstProto},
	{"8.1.1", "trailers before the whole of content-length", func(c *h2Conn) {
		c.post(1, [2]string{"content-length", "9"})
		c.framer.WriteData(1, false, []byte("12345"))
		c.blockOf(1, literal("x-sum", "1")...)
	}, rstProto},
	{"8.2", "a name in upper case", func(c *h2Conn) { c.blockOf(1, withPseudo(literal("X-Test", "ok")...)...) }, rstProto},
	{"8.2", "a name in upper case, in trailers", func(c *h2Conn) {
		c.post(1)
		c.blockOf(1, literal("X-Test", "ok")...)
	}, rstProto},
	{"8.2.1", "a name with a space", func(c *h2Conn) { c.blockOf(1, withPseudo(literal("x test", "ok")...)...) }, rstProto},
	{"8.2.1", "a name with a colon", func(c *h2Conn) { c.blockOf(1, withPseudo(literal("x:test", "ok")...)...) }, rstProto},
	{"8.2.1", "an empty name", func(c *h2Conn) { c.blockOf(1, withPseudo(literal("", "ok")...)...) }, rstProto},
	{"8.2.1", "a value with a line feed", func(c *h2Conn) { c.blockOf(1, withPseudo(literal("x", "a\nb: c")...)...) }, rstProto},
	{"8.2.1", "a value with a carriage return", func(c *h2Conn) { c.blockOf(1, withPseudo(literal("x", "a\rb")...)...) }, rstProto},
	{"8.2.1", "a value with NUL", func(c *h2Conn) { c.blockOf(1, withPseudo(literal("x", "a\x00b")...)...) }, rstProto},
	{"8.2.2", "connection", func(c *h2Conn) { c.writeRequest(1, true, [][2]string{{"connection", "keep-alive"}}) }, rstProto},
	{"8.2.2", "proxy-connection", func(c *h2Conn) { c.writeRequest(1, true, [][2]string{{"proxy-connection", "keep-alive"}}) }, rstProto},
	{"8.2.2", "keep-alive", func(c *h2Conn) { c.writeRequest(1, true, [][2]string{{"keep-alive", "1"}}) }, rstProto},
	{"8.2.2", "transfer-encoding", func(c *h2Conn) { c.writeRequest(1, true, [][2]string{{"transfer-encoding", "chunked"}}) }, rstProto},
	{"8.2.2", "upgrade", func(c *h2Conn) { c.writeRequest(1, true, [][2]string{{"upgrade", "websocket"}}) }, rstProto},
	{"8.2.2", "te that is not trailers", func(c *h2Conn) { c.writeRequest(1, true, [][2]string{{"te", "trailers, deflate"}}) }, rstProto},
	{"8.2.2", "te: trailers", func(c *h2Conn) { c.writeRequest(1, true, [][2]string{{"te", "trailers"}}) }, ok200},
	{"8.3", "an unknown pseudo-header", func(c *h2Conn) { c.blockOf(1, withPseudo(literal(":test", "ok")...)...) }, rstProto},
	{"8.3", "a pseudo-header of answers", func(c *h2Conn) { c.blockOf(1, withPseudo(0x88)...) }, rstProto},
	{"8.3", "a pseudo-header after a field", func(c *h2Conn) {
		c.blockOf(1, append(append([]byte{0x82, 0x87}, literal("x", "y")...), 0x84)...)
	}, rstProto},
	{"8.3.1", "no :method", func(c *h2Conn) { c.blockOf(1, pseudo[1:]...) }, rstProto},
	{"8.3.1", "no :scheme", func(c *h2Conn) { c.blockOf(1, append([]byte{0x82}, pseudo[2:]...)...) }, rstProto},
	{"8.3.1", "no :path", func(c *h2Conn) { c.blockOf(1, append([]byte{0x82, 0x87}, pseudo[3:]...)...) }, rstProto},
	{"8.3.1", "an empty :path", func(c *h2Conn) { c.writeRequest(1, true, [][2]string{{":path!", ""}}) }, rstProto},
	{"8.3.1", ":method twice", func(c *h2Conn) { c.blockOf(1, append([]byte{0x82}, pseudo...)...) }, rstProto},
	{"8.3.1", ":scheme twice", func(c *h2Conn) { c.blockOf(1, append([]byte{0x87}, pseudo...)...) }, rstProto},
	{"8.3.1", ":path twice", func(c *h2Conn) { c.blockOf(1, append([]byte{0x84}, pseudo...)...) }, rstProto},
	{"8.5", "CONNECT", func(c *h2Conn) {
		c.blockOf(1, append(literal(":method", "CONNECT"), literal(":authority", "shop.localhost:443")...)...)
	}, either(rstProto, "status 405", "status 501", "status 400")},

	// Header blocks.
	{"4.3", "a block that is rubbish", func(c *h2Conn) { c.blockOf(1, bytes.Repeat([]byte{0xff}, 6)...) }, goBlock},
	{"4.3", "a rubbish block of trailers", func(c *h2Conn) { c.post(1); c.blockOf(1, bytes.Repeat([]byte{0xff}, 6)...) }, goBlock},
	{"4.3", "a rubbish block for a closed stream", func(c *h2Conn) { c.done(1); c.blockOf(1, bytes.Repeat([]byte{0xff}, 6)...) }, either(goBlock, goClosed)},
	{"7541 2.3.3", "an index that is not there", func(c *h2Conn) { c.blockOf(1, withPseudo(0xc6)...) }, goBlock},
	{"7541 2.3.3", "a name by an index that is not there", func(c *h2Conn) { c.blockOf(1, withPseudo(0x0f, 0x37, 1, 'x')...) }, goBlock},
	{"7541 4.2", "a table size at the end of a block", func(c *h2Conn) { c.blockOf(1, withPseudo(0x40, 1, 'x', 1, 'y', 0x20)...) }, goBlock},
	{"7541 4.2", "a table size at the beginning", func(c *h2Conn) { c.blockOf(1, append([]byte{0x20}, pseudo...)...) }, ok200},
	{"7541 5.1", "an integer that does not end", func(c *h2Conn) {
		c.blockOf(1, withPseudo(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1)...)
	}, goBlock},
	{"7541 5.2", "Huffman padding of more than 7 bits", func(c *h2Conn) { c.blockOf(1, withPseudo(0, 1, 'x', 0x82, 0x1f, 0xff)...) }, goBlock},
	{"7541 5.2", "Huffman padding that is not ones", func(c *h2Conn) { c.blockOf(1, withPseudo(0, 1, 'x', 0x81, 0x18)...) }, goBlock},
	{"7541 5.2", "Huffman with the end of strings", func(c *h2Conn) { c.blockOf(1, withPseudo(0, 1, 'x', 0x84, 0xff, 0xff, 0xff, 0xff)...) }, goBlock},
	{"7541 6.1", "index 0", func(c *h2Conn) { c.blockOf(1, withPseudo(0x80)...) }, goBlock},
	{"7541 6.3", "a table larger than allowed", func(c *h2Conn) { c.blockOf(1, append([]byte{0x3f, 0xe2, 0x1f}, pseudo...)...) }, goBlock},
	{"7541 5.2", "a string that is longer than the block", func(c *h2Conn) { c.blockOf(1, withPseudo(0, 1, 'x', 0x7f, 0x7f)...) }, goBlock},
	{"7541 6.2.1", "a field kept in the table and named later", func(c *h2Conn) {
		c.blockOf(1, withPseudo(0x40, 1, 'x', 1, 'y')...)
		c.answerOf(1)
		c.blockOf(3, withPseudo(0xbe)...)
		c.ping()
	}, pong},
}

// TestHTTP2Spec goes through the table, each case on a connection of its own. The
// proxy serves on after each.
func TestHTTP2Spec(t *testing.T) {
	if len(h2spec) < 60 {
		t.Fatalf("only %d cases", len(h2spec))
	}
	s := start(t)
	s.deploy(shop(addr(app(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			<-r.Context().Done()
			return
		}
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "ok")
	}))))
	for _, step := range h2spec {
		t.Run(step.section+" "+step.name, func(t *testing.T) {
			c := s.dialH2()
			defer c.Close()
			step.send(c)
			id, want := uint32(1), step.want
			if before, of, found := strings.Cut(want, " of "); found {
				want = before
				fmt.Sscan(of, &id)
			}
			if got := c.fate(id); !slices.Contains(strings.Split(want, "|"), got) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	if got := s.get(shopURL); got.StatusCode != 200 {
		t.Errorf("afterwards: %d", got.StatusCode)
	}
}

// TestHTTP2Preface: what comes in place of the client's preface and settings.
func TestHTTP2Preface(t *testing.T) {
	s := start(t)
	s.deploy(shop(addr(app(t, says("ok")))))
	settings := string([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0})
	for name, step := range map[string]struct{ send, want string }{
		"rubbish":         {"INVALID CONNECTION PREFACE\r\n\r\n", goProtocol},
		"HTTP/1.1":        {"GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n", goProtocol},
		"no settings":     {http2.ClientPreface + string([]byte{0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}), goProtocol},
		"settings on ack": {http2.ClientPreface + string([]byte{0, 0, 0, 4, 1, 0, 0, 0, 0}), goProtocol},
		"settings":        {http2.ClientPreface + settings + string([]byte{0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}), pong},
	} {
		t.Run(name, func(t *testing.T) {
			config := s.tlsConfig()
			config.ServerName, config.NextProtos = "shop.localhost", []string{"h2"}
			c := s.dialRawH2(config)
			defer c.Close()
			io.WriteString(c, step.send)
			if got := c.fate(1); got != step.want {
				t.Errorf("got %q, want %q", got, step.want)
			}
		})
	}
}

// The windows that a client grants are kept, and so is what it says of them midway.
func TestHTTP2WindowsAreKept(t *testing.T) {
	s := start(t)
	s.deploy(shop(addr(app(t, says(strings.Repeat("x", 100))))))
	// data reads DATA of a stream until n bytes came, and then sees that no more come.
	data := func(c *h2Conn, id uint32, n int) {
		t.Helper()
		got := 0
		for pinged := false; ; {
			if got == n && !pinged {
				c.ping()
				pinged = true
			}
			f, err := c.framer.ReadFrame()
			if err != nil {
				t.Fatalf("after %d bytes: %v", got, err)
			}
			if d, ok := f.(*http2.DataFrame); ok && d.StreamID == id {
				if got += len(d.Data()); got > n {
					t.Fatalf("%d bytes; the window was %d", got, n)
				}
			}
			if p, ok := f.(*http2.PingFrame); ok && p.IsAck() {
				return
			}
		}
	}
	c := s.dialH2()
	c.setting(http2.SettingInitialWindowSize, 1)
	c.get(1)
	data(c, 1, 1)
	c.framer.WriteWindowUpdate(1, 9)
	data(c, 1, 9)
	// A window can become negative, and what is added counts from there.
	c.setting(http2.SettingInitialWindowSize, 0)
	data(c, 1, 0)
	c.framer.WriteWindowUpdate(1, 1)
	data(c, 1, 0)
	c.framer.WriteWindowUpdate(1, 5)
	data(c, 1, 5)
	// The last of several counts.
	c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 90}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 20})
	data(c, 1, 20)
	// A stream that begins later has the new window.
	c.get(3)
	data(c, 3, 20)
}

// The settings and acknowledgements that a server owes.
func TestHTTP2ServerSettings(t *testing.T) {
	s := start(t)
	s.deploy(shop(addr(app(t, says("ok")))))
	c := s.dialH2()
	f, err := c.framer.ReadFrame()
	settings, ok := f.(*http2.SettingsFrame)
	if err != nil || !ok || settings.IsAck() {
		t.Fatalf("first frame: %v %v", f, err)
	}
	if n, ok := settings.Value(http2.SettingMaxConcurrentStreams); !ok || n < 100 {
		t.Errorf("%d streams", n)
	}
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if a, ok := f.(*http2.SettingsFrame); ok && a.IsAck() {
			break
		}
	}
	payload := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	c.framer.WritePing(false, payload)
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if p, ok := f.(*http2.PingFrame); ok {
			if !p.IsAck() || p.Data != payload {
				t.Errorf("got %v", p)
			}
			break
		}
	}
}
