package proxy

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
	"towline/proxy/message"

	"golang.org/x/net/http2/hpack"
)

// Limits of one HTTP/2 connection.
const (
	h2Streams      = 250       // at a time
	h2StreamWindow = 256 << 10 // bytes of a request body that may be under way
	h2ConnWindow   = 1 << 20   // of all bodies of a connection
	h2HeaderBlock  = 256 << 10 // compressed
	h2WriteQueue   = 128 << 10 // bytes queued before a writer waits
	h2MaxResets    = 200       // that a client may be ahead of what it let finish
)

// http2 serves HTTP/2 on one client connection. One goroutine reads; each
// stream has a goroutine of its own, which also writes: whoever has something
// to send while nobody is writing writes for all (see queue).
type http2 struct {
	p      *Proxy
	raw    net.Conn
	c      *tls.Conn
	rd     message.Reader
	peer   netip.Addr
	port   uint16
	read   deadline
	decode *hpack.Decoder
	first  [1]byte

	// Of the header block being read.
	block    []byte
	blockFor uint32
	blockEnd bool // END_STREAM
	fields   *message.Head
	listSize int

	last   uint32 // highest stream the client opened
	resets int    // by the client, not balanced by streams that finished

	mu         sync.Mutex // guards everything below, and windows of streams
	moved      sync.Cond  // a window grew, a stream ended, the queue shrank
	streams    map[uint32]*h2Stream
	handling   int // goroutines, those of reset streams included
	window     int64
	initial    int64 // window of new streams
	maxFrame   int
	taken      int64 // bytes of bodies consumed and not yet given back
	out, spare []byte
	writing    bool
	leaving    bool // GOAWAY was sent
	tableSet   bool // our empty HPACK table was announced
	err        error
}

func newHTTP2(p *Proxy, raw net.Conn, c *tls.Conn, peer netip.Addr, port uint16) *http2 {
	h := &http2{p: p, raw: raw, c: c, peer: peer, port: port, streams: map[uint32]*h2Stream{},
		window: 65535, initial: 65535, maxFrame: message.MaxFrame}
	h.rd.Src = c
	h.moved.L = &h.mu
	h.decode = hpack.NewDecoder(4096, h.emit)
	h.decode.SetMaxStringLength(h2HeaderBlock)
	return h
}

// serve returns when the connection is finished and its streams have ended.
func (h *http2) serve() {
	err := h.start()
	for err == nil {
		err = h.frame()
	}
	var violation message.ConnError
	h.mu.Lock()
	if errors.As(err, &violation) {
		h.p.refused.Add(1)
		h.sendLocked(message.AppendGoAway(nil, h.last, uint32(violation)))
	}
	h.err = err
	for _, s := range h.streams {
		s.resetLocked()
	}
	h.moved.Broadcast()
	for h.handling > 0 {
		h.moved.Wait()
	}
	h.mu.Unlock()
	h.rd.Drop()
}

func (h *http2) start() error {
	_ = h.c.SetReadDeadline(time.Now().Add(h.p.options.HeaderTimeout))
	h.rd.Acquire()
	for h.rd.W-h.rd.R < len(message.Preface) {
		if err := h.rd.Fill(); err != nil {
			return err
		}
	}
	if string(h.rd.Buf[h.rd.R:h.rd.R+len(message.Preface)]) != message.Preface {
		return message.ConnError(message.CodeProtocol)
	}
	h.rd.R += len(message.Preface)
	var b []byte
	b = message.AppendFrame(b, 24, message.FrameSettings, 0, 0)
	b = message.AppendSetting(b, message.SetStreams, h2Streams)
	b = message.AppendSetting(b, message.SetWindow, h2StreamWindow)
	b = message.AppendSetting(b, message.SetHeaderList, maxHead)
	b = message.AppendSetting(b, message.SetPush, 0)
	b = message.AppendWindow(b, 0, h2ConnWindow-65535)
	h.send(b)
	return nil
}

// more reads until n bytes are buffered. An idle connection times out; one with
// streams does not, for it is they who have timeouts.
func (h *http2) more(n int) error {
	for h.rd.W-h.rd.R < n {
		h.read.arm(h.c.SetReadDeadline, time.Now(), h.p.options.KeepAlive)
		if h.p.stopping.Load() && h.finished() {
			return io.EOF
		}
		err := h.fill()
		if err == nil {
			continue
		}
		if !isTimeout(err) {
			return err
		}
		h.mu.Lock()
		busy := h.handling > 0
		h.mu.Unlock()
		h.read = deadline{}
		if !busy || h.rd.W > h.rd.R && !h.p.stopping.Load() {
			h.send(message.AppendGoAway(nil, h.last, message.CodeNone))
			return io.EOF
		}
	}
	return nil
}

// finished tells whether good-bye was said and nothing is under way.
func (h *http2) finished() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.leaving && h.handling == 0
}

// fill waits for the client without holding a buffer.
func (h *http2) fill() error {
	if h.rd.R < h.rd.W {
		return h.rd.Fill()
	}
	h.rd.Release()
	n, err := h.c.Read(h.first[:])
	if n == 0 {
		return err
	}
	h.rd.Acquire()
	h.rd.Buf[0], h.rd.R, h.rd.W = h.first[0], 0, 1
	return h.rd.Fill()
}

// frame reads and handles one frame.
func (h *http2) frame() error {
	if err := h.more(message.FrameHeaderSize); err != nil {
		return err
	}
	b := h.rd.Buffered()
	length := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
	kind, flags := b[3], b[4]
	stream := binary.BigEndian.Uint32(b[5:]) & (1<<31 - 1)
	if length > message.MaxFrame {
		return message.ConnError(message.CodeFrameSize)
	}
	if h.blockFor != 0 && (kind != message.FrameContinuation || stream != h.blockFor) {
		return message.ConnError(message.CodeProtocol)
	}
	if err := h.more(message.FrameHeaderSize + length); err != nil {
		return err
	}
	payload := h.rd.Buf[h.rd.R+message.FrameHeaderSize : h.rd.R+message.FrameHeaderSize+length]
	h.rd.R += message.FrameHeaderSize + length
	switch kind {
	case message.FrameData:
		return h.data(stream, flags, payload)
	case message.FrameHeaders:
		return h.headers(stream, flags, payload)
	case message.FrameContinuation:
		if h.blockFor == 0 {
			return message.ConnError(message.CodeProtocol)
		}
		return h.fragment(flags, payload)
	case message.FrameReset:
		return h.reset(stream, payload)
	case message.FrameSettings:
		return h.settings(stream, flags, payload)
	case message.FramePing:
		if stream != 0 {
			return message.ConnError(message.CodeProtocol)
		}
		if length != 8 {
			return message.ConnError(message.CodeFrameSize)
		}
		if flags&message.FlagAck == 0 {
			h.send(append(message.AppendFrame(nil, 8, message.FramePing, message.FlagAck, 0), payload...))
		}
	case message.FrameWindow:
		return h.windowUpdate(stream, payload)
	case message.FramePush:
		return message.ConnError(message.CodeProtocol)
	case message.FramePriority:
		if stream == 0 {
			return message.ConnError(message.CodeProtocol)
		}
		if length != 5 {
			return message.ConnError(message.CodeFrameSize)
		}
	case message.FrameGoAway:
		if stream != 0 {
			return message.ConnError(message.CodeProtocol)
		}
	}
	return nil
}

// unpad takes padding off a payload.
func unpad(flags byte, b []byte) ([]byte, error) {
	if flags&message.FlagPadded == 0 {
		return b, nil
	}
	if len(b) == 0 || int(b[0]) >= len(b) {
		return nil, message.ConnError(message.CodeProtocol)
	}
	return b[1 : len(b)-int(b[0])], nil
}

func (h *http2) data(id uint32, flags byte, b []byte) error {
	size := int64(len(b))
	b, err := unpad(flags, b)
	if err != nil {
		return err
	}
	if id == 0 || id > h.last {
		return message.ConnError(message.CodeProtocol)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.streams[id]
	if s == nil || s.reset {
		h.giveBackLocked(nil, size)
		return nil
	}
	if s.ended {
		s.failLocked(message.CodeClosed)
		h.giveBackLocked(nil, size)
		return nil
	}
	if int64(len(s.data))+size > h2StreamWindow {
		return message.ConnError(message.CodeFlow)
	}
	if s.req.Length >= 0 {
		if s.left -= int64(len(b)); s.left < 0 || flags&message.FlagEndStream != 0 && s.left != 0 {
			s.failLocked(message.CodeProtocol)
			h.giveBackLocked(nil, size)
			return nil
		}
	}
	s.data = append(s.data, b...)
	if padding := size - int64(len(b)); padding > 0 {
		h.giveBackLocked(s, padding)
	}
	s.ended = flags&message.FlagEndStream != 0
	h.moved.Broadcast()
	return nil
}

// giveBackLocked returns window for n bytes that were consumed, in large steps.
// With s nil only the connection's.
func (h *http2) giveBackLocked(s *h2Stream, n int64) {
	var b []byte
	if h.taken += n; h.taken >= h2ConnWindow/4 {
		b = message.AppendWindow(b, 0, uint32(h.taken))
		h.taken = 0
	}
	if s != nil && !s.ended {
		if s.taken += n; s.taken >= h2StreamWindow/4 {
			b = message.AppendWindow(b, s.id, uint32(s.taken))
			s.taken = 0
		}
	}
	if b != nil {
		h.sendLocked(b)
	}
}

func (h *http2) reset(id uint32, b []byte) error {
	if len(b) != 4 {
		return message.ConnError(message.CodeFrameSize)
	}
	if id == 0 || id > h.last {
		return message.ConnError(message.CodeProtocol)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.streams[id]; s != nil {
		s.resetLocked()
		h.moved.Broadcast()
		// Opening and resetting is cheap for the client and dear for us.
		if h.resets++; h.resets > h2MaxResets {
			return message.ConnError(message.CodeCalm)
		}
	}
	return nil
}

func (h *http2) settings(stream uint32, flags byte, b []byte) error {
	if stream != 0 {
		return message.ConnError(message.CodeProtocol)
	}
	if flags&message.FlagAck != 0 {
		if len(b) != 0 {
			return message.ConnError(message.CodeFrameSize)
		}
		return nil
	}
	if len(b)%6 != 0 {
		return message.ConnError(message.CodeFrameSize)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for ; len(b) > 0; b = b[6:] {
		value := binary.BigEndian.Uint32(b[2:])
		switch binary.BigEndian.Uint16(b) {
		case message.SetPush:
			if value > 1 {
				return message.ConnError(message.CodeProtocol)
			}
		case message.SetWindow:
			if value > 1<<31-1 {
				return message.ConnError(message.CodeFlow)
			}
			grown := int64(value) - h.initial
			h.initial = int64(value)
			for _, s := range h.streams {
				if s.window += grown; s.window > 1<<31-1 {
					return message.ConnError(message.CodeFlow)
				}
			}
		case message.SetFrame:
			if value < message.MaxFrame || value > 1<<24-1 {
				return message.ConnError(message.CodeProtocol)
			}
		}
	}
	h.sendLocked(message.AppendFrame(nil, 0, message.FrameSettings, message.FlagAck, 0))
	h.moved.Broadcast()
	return nil
}

func (h *http2) windowUpdate(id uint32, b []byte) error {
	if len(b) != 4 {
		return message.ConnError(message.CodeFrameSize)
	}
	n := int64(binary.BigEndian.Uint32(b) & (1<<31 - 1))
	h.mu.Lock()
	defer h.mu.Unlock()
	if id == 0 {
		if h.window += n; n == 0 || h.window > 1<<31-1 {
			return message.ConnError(message.CodeFlow)
		}
	} else {
		if id > h.last {
			return message.ConnError(message.CodeProtocol)
		}
		s := h.streams[id]
		if s == nil {
			return nil
		}
		if s.window += n; n == 0 || s.window > 1<<31-1 {
			s.failLocked(message.CodeFlow)
		}
	}
	h.moved.Broadcast()
	return nil
}

// send queues frames and sees that they are written.
func (h *http2) send(b []byte) {
	h.mu.Lock()
	h.sendLocked(b)
	h.mu.Unlock()
}

func (h *http2) sendLocked(b []byte) {
	h.out = append(h.out, b...)
	h.flushLocked()
}

// flushLocked writes what is queued unless someone is writing already: that one
// takes it along. So answers that are ready together share a TLS record and a
// system call. It waits only when the queue is full, as a client that reads
// slowly makes it. The lock is released meanwhile.
func (h *http2) flushLocked() {
	if h.writing {
		for h.writing && len(h.out) > h2WriteQueue && h.err == nil {
			h.moved.Wait()
		}
		if h.writing || len(h.out) == 0 {
			return
		}
	}
	h.writing = true
	for len(h.out) > 0 && h.err == nil {
		batch := h.out
		h.out = h.spare[:0]
		h.mu.Unlock()
		_ = h.raw.SetWriteDeadline(time.Now().Add(defaultIdleTimeout))
		_, err := h.c.Write(batch)
		h.mu.Lock()
		h.spare = batch
		if err != nil {
			h.err = err
			h.raw.Close()
		}
		h.moved.Broadcast()
	}
	h.writing = false
	if cap(h.spare) > h2WriteQueue || len(h.streams) == 0 {
		// An idle connection keeps no buffers.
		h.out, h.spare = nil, nil
	}
}

// wake says good-bye: streams under way finish, new ones go elsewhere.
func (h *http2) wake() {
	go func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if !h.leaving {
			h.leaving = true
			h.sendLocked(message.AppendGoAway(nil, h.last, message.CodeNone))
		}
		if h.handling == 0 {
			_ = h.raw.SetReadDeadline(time.Unix(1, 0))
		}
	}()
}
