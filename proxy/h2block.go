package proxy

import (
	"encoding/binary"
	"strings"

	"golang.org/x/net/http2/hpack"
)

func (h *http2) headers(stream uint32, flags byte, b []byte) error {
	if stream%2 == 0 {
		return h2Error(codeProtocol)
	}
	b, err := unpad(flags, b)
	if err != nil {
		return err
	}
	if flags&flagPriority != 0 {
		if len(b) < 5 {
			return h2Error(codeFrameSize)
		}
		if binary.BigEndian.Uint32(b)&(1<<31-1) == stream {
			return h2Error(codeProtocol)
		}
		b = b[5:]
	}
	h.blockFor, h.blockEnd, h.block = stream, flags&flagEndStream != 0, h.block[:0]
	return h.fragment(flags, b)
}

// fragment collects a header block and, when it is whole, opens the stream or
// takes the trailers.
func (h *http2) fragment(flags byte, b []byte) error {
	if len(h.block)+len(b) > h2HeaderBlock {
		return h2Error(codeCalm)
	}
	if flags&flagEndHeaders == 0 {
		if len(b) == 0 {
			return h2Error(codeCalm) // empty fragments have no use
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
		h.fields.fields = append(h.fields.fields, field{f.Name, f.Value})
	}
}

// read decodes a block into dst. Even a block that nobody wants must be
// decoded, for the ones after it build on it.
func (h *http2) decodeBlock(dst *head, b []byte) error {
	h.fields, h.listSize = dst, 0
	if _, err := h.decode.Write(b); err != nil {
		return h2Error(codeCompression)
	}
	if err := h.decode.Close(); err != nil {
		return h2Error(codeCompression)
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
	bad := s.req.fromH2(h.blockEnd)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.leaving:
		s.free()
		return nil
	case h.handling >= h2Streams:
		h.sendLocked(appendReset(nil, id, codeRefused))
		s.free()
		return nil
	case bad != nil && !tooLarge:
		h.p.refused.Add(1)
		h.sendLocked(appendReset(nil, id, codeProtocol))
		s.free()
		return nil
	}
	s.tooLarge = tooLarge
	s.window = h.initial
	s.left = s.req.length
	s.ended = h.blockEnd
	h.streams[id] = s
	h.handling++
	s.dispatch()
	return nil
}

// trailers end a request body.
func (h *http2) trailers(id uint32, block []byte) error {
	var t head
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
		return h2Error(codeProtocol)
	}
	for _, f := range t.fields {
		if strings.HasPrefix(f.name, ":") || !all(f.name, &tokenChar) || !all(f.value, &valueChar) {
			s.failLocked(codeProtocol)
			return nil
		}
		if kindOf(f.name) == plain {
			s.tail = append(s.tail, f)
		}
	}
	if s.left > 0 {
		s.failLocked(codeProtocol)
		return nil
	}
	s.ended = true
	h.moved.Broadcast()
	return nil
}
