package proxy

import (
	"encoding/binary"
	"strings"
	"towline/proxy/message"

	"golang.org/x/net/http2/hpack"
)

func (h *http2) headers(stream uint32, flags byte, b []byte) error {
	if stream%2 == 0 {
		return message.ConnError(message.CodeProtocol)
	}
	b, err := unpad(flags, b)
	if err != nil {
		return err
	}
	if flags&message.FlagPriority != 0 {
		if len(b) < 5 {
			return message.ConnError(message.CodeFrameSize)
		}
		if binary.BigEndian.Uint32(b)&(1<<31-1) == stream {
			return message.ConnError(message.CodeProtocol)
		}
		b = b[5:]
	}
	h.blockFor, h.blockEnd, h.block = stream, flags&message.FlagEndStream != 0, h.block[:0]
	return h.fragment(flags, b)
}

// fragment collects a header block and, when it is whole, opens the stream or
// takes the trailers.
func (h *http2) fragment(flags byte, b []byte) error {
	if len(h.block)+len(b) > h2HeaderBlock {
		return message.ConnError(message.CodeCalm)
	}
	if flags&message.FlagEndHeaders == 0 {
		if len(b) == 0 {
			return message.ConnError(message.CodeCalm) // empty fragments have no use
		}
		h.block = append(h.block, b...)
		return nil
	}
	if len(h.block) > 0 {
		h.block = append(h.block, b...)
		b = h.block
	}
	id := h.blockFor
	h.blockFor = 0
	if cap(h.block) > 16<<10 {
		defer func() { h.block = nil }()
	}
	if id > h.last {
		h.last = id
		return h.open(id, b)
	}
	return h.trailers(id, b)
}

// emit takes one decoded field.
func (h *http2) emit(f hpack.HeaderField) {
	if h.listSize += len(f.Name) + len(f.Value) + 32; h.listSize <= maxHead {
		h.fields.Fields = append(h.fields.Fields, message.Field{Name: f.Name, Value: f.Value})
	}
}

// read decodes a block into dst. Even a block that nobody wants must be
// decoded, for the ones after it build on it.
func (h *http2) decodeBlock(dst *message.Head, b []byte) error {
	h.fields, h.listSize = dst, 0
	if _, err := h.decode.Write(b); err != nil {
		return message.ConnError(message.CodeCompression)
	}
	if err := h.decode.Close(); err != nil {
		return message.ConnError(message.CodeCompression)
	}
	return nil
}

// open begins a stream.
func (h *http2) open(id uint32, block []byte) error {
	s := newH2Stream(h, id)
	if err := h.decodeBlock(&s.req, block); err != nil {
		s.free()
		return err
	}
	tooLarge := h.listSize > maxHead
	bad := s.req.FromH2(h.blockEnd)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.leaving:
		s.free()
		return nil
	case h.handling >= h2Streams:
		h.sendLocked(message.AppendReset(nil, id, message.CodeRefused))
		s.free()
		return nil
	case bad != nil && !tooLarge:
		h.p.refused.Add(1)
		h.sendLocked(message.AppendReset(nil, id, message.CodeProtocol))
		s.free()
		return nil
	}
	s.tooLarge = tooLarge
	s.window = h.initial
	s.left = s.req.Length
	s.ended = h.blockEnd
	h.streams[id] = s
	h.handling++
	s.dispatch()
	return nil
}

// trailers end a request body.
func (h *http2) trailers(id uint32, block []byte) error {
	var t message.Head
	if err := h.decodeBlock(&t, block); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.streams[id]
	switch {
	case s == nil:
		return nil // we were faster: it has ended
	case s.ended || !h.blockEnd:
		return message.ConnError(message.CodeProtocol)
	}
	for _, f := range t.Fields {
		if strings.HasPrefix(f.Name, ":") || !message.All(f.Name, &message.TokenChar) || !message.All(f.Value, &message.ValueChar) {
			s.failLocked(message.CodeProtocol)
			return nil
		}
		if message.KindOf(f.Name) == message.KindPlain {
			s.tail = append(s.tail, f)
		}
	}
	if s.left > 0 {
		s.failLocked(message.CodeProtocol)
		return nil
	}
	s.ended = true
	h.moved.Broadcast()
	return nil
}
