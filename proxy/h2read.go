package proxy

import (
	"encoding/binary"
	"slices"
	"strings"

	"towline/proxy/message"
)

// handle takes one frame. All of this file runs in the reader.
func (h *http2) handle(f message.FrameHead, b []byte) error {
	if err := h.thrift.spend(f, b); err != nil {
		return err
	}
	switch f.Kind {
	case message.FrameData:
		_, err := h.data(f, b, nil)
		return err
	case message.FrameHeaders:
		return h.headers(f, b)
	case message.FrameContinuation:
		if h.inBlock == 0 {
			return message.ConnError(message.CodeProtocol)
		}
		return h.fragment(f.Flags, b)
	case message.FrameReset:
		return h.reset(f.Stream)
	case message.FrameSettings:
		return h.settings(f.Flags, b)
	case message.FramePing:
		if f.Flags&message.FlagAck != 0 {
			h.leave()
			return nil
		}
		return h.control(append(message.AppendFrame(nil, 8, message.FramePing, message.FlagAck, 0), b...))
	case message.FrameWindow:
		return h.windowUpdate(f.Stream, int64(binary.BigEndian.Uint32(b)&(1<<31-1)))
	}
	return nil // unknown, or of no interest
}

// unused tells whether a stream was never opened.
func (h *http2) unused(id uint32) bool {
	return id%2 == 0 || id > h.last || h.skipped[0] <= id && id <= h.skipped[1]
}

// strayLocked judges a DATA or HEADERS frame for a used stream that is closed:
// if we reset it, or never meant to serve it, the client could not know.
func (h *http2) strayLocked(id uint32) error {
	if h.leaving == left && id > h.opened || slices.Contains(h.retired, id) {
		return nil
	}
	return message.ConnError(message.CodeClosed)
}

// data takes a DATA frame. chunk, unless nil, is the memory that b lies in; taken
// says that it belongs to the stream from now on.
func (h *http2) data(f message.FrameHead, b []byte, chunk *[h2Chunk]byte) (taken bool, err error) {
	size := int64(len(b))
	if b, err = message.Unpad(f.Flags, b); err != nil {
		return false, err
	}
	if h.unused(f.Stream) {
		return false, message.ConnError(message.CodeProtocol)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.startWriterLocked()
	// Every byte counts, also those that nobody wants (RFC 9113, 6.9).
	if h.recv -= size; h.recv < 0 {
		return false, message.ConnError(message.CodeFlow)
	}
	s := h.streams[f.Stream]
	if s == nil {
		h.giveBackLocked(size)
		return false, h.strayLocked(f.Stream)
	}
	ends := f.Flags&message.FlagEndStream != 0
	if code, ok := s.admitLocked(size, int64(len(b)), ends); !ok {
		h.giveBackLocked(size)
		return false, s.failLocked(code)
	}
	if chunk != nil {
		s.body.push(chunk, len(b))
	} else {
		s.body.append(b)
	}
	if padding := size - int64(len(b)); padding > 0 {
		s.giveBackLocked(padding)
	}
	if ends {
		s.endRemoteLocked()
	}
	h.hearLocked(s, ends)
	return chunk != nil, nil
}

// admitLocked counts a DATA frame of size bytes, n of them data.
func (s *h2Stream) admitLocked(size, n int64, ends bool) (code uint32, ok bool) {
	s.recv -= size
	s.left -= n
	switch {
	case s.remoteEnd:
		return message.CodeClosed, false
	case s.recv < 0:
		return message.CodeFlow, false
	case s.sized && (s.left < 0 || ends && s.left != 0):
		return message.CodeProtocol, false
	}
	return 0, true
}

// h2Gather is how much of a body is gathered, in bytes, while more of it can be
// read without waiting: to wake a handler costs more than to read a frame.
const h2Gather = 64 << 10

// hearLocked sees that the handler learns of data, at once or with more of it.
func (h *http2) hearLocked(s *h2Stream, ends bool) {
	if h.unheard != nil && h.unheard != s {
		h.unheard.moved.Broadcast()
	}
	h.unheard = s
	if ends {
		h.waiting.Store(nil)
	}
	if ends || !h.gathers || s.body.size() >= h2Gather {
		h.unheard = nil
		s.moved.Broadcast()
	}
}

// gathered tells whether dry has something to do.
func (h *http2) gathered() bool { return h.unheard != nil }

// dry is called when the client has sent no more for now.
func (h *http2) dry() {
	if s := h.unheard; s != nil {
		h.unheard = nil
		h.mu.Lock()
		s.moved.Broadcast()
		h.mu.Unlock()
	}
}

// bulk tells whether what was gathered may wait for a moment: most of a long body is
// still to come. Then waited is called at the end of that.
func (h *http2) bulk() bool {
	s := h.unheard
	if s == nil || !s.sized || s.left < 2*h2Gather {
		return false
	}
	h.waiting.Store(s)
	return true
}

// waited has the handler learn of what has come so far.
func (h *http2) waited() {
	if s := h.waiting.Swap(nil); s != nil {
		h.mu.Lock()
		s.moved.Broadcast()
		h.mu.Unlock()
	}
}

func (h *http2) headers(f message.FrameHead, b []byte) error {
	if f.Stream%2 == 0 {
		return message.ConnError(message.CodeProtocol)
	}
	b, err := message.Unpad(f.Flags, b)
	if err == nil {
		b, err = message.SkipPriority(f.Flags, f.Stream, b)
	}
	if err != nil {
		return err
	}
	h.inBlock, h.ends, h.block = f.Stream, f.Flags&message.FlagEndStream != 0, h.block[:0]
	return h.fragment(f.Flags, b)
}

// fragment collects a header block and, when it is whole, opens the stream or
// takes the trailers.
func (h *http2) fragment(flags byte, b []byte) error {
	if len(h.block)+len(b) > message.MaxBlock {
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
		b = append(h.block, b...)
		h.block = nil
	}
	id := h.inBlock
	h.inBlock = 0
	if id > h.last {
		if id > h.last+2 || h.last == 0 && id > 1 {
			h.skipped = [2]uint32{h.last + 1, id - 1}
		}
		h.last = id
		return h.open(id, b)
	}
	return h.trailers(id, b)
}

// open begins a stream.
func (h *http2) open(id uint32, block []byte) error {
	s := newH2Stream(h, id)
	fits, err := h.decoder.Decode(&s.req, block)
	if err != nil {
		return err
	}
	bad := s.req.FromH2(h.ends)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.leaving == left || h.err != nil {
		return nil // it was told, or will be, that this one is not served
	}
	h.opened = id
	size := min(h.decoder.Size(), maxHead)
	switch {
	case len(h.streams) >= h2Streams, h.handling >= h2Handlers, h.heads+size > h2HeadBytes:
		return h.refuseLocked(id, message.CodeRefused)
	case bad != nil && fits:
		h.p.refused.Add(1)
		return h.refuseLocked(id, message.CodeProtocol)
	}
	s.tooLarge, s.size = !fits, size
	s.window, s.recv = h.initial, h2StreamWindow
	s.sized, s.left = s.req.Length >= 0, s.req.Length
	s.remoteEnd = h.ends
	s.bodyless = h.ends
	h.streams[id] = s
	h.handling++
	h.heads += size
	h.p.running.add()
	dispatch(s)
	return nil
}

// refuseLocked resets a stream that is not opened.
func (h *http2) refuseLocked(id, code uint32) error {
	h.retireLocked(id)
	if err := h.controlLocked(message.AppendReset(nil, id, code)); err != nil {
		return err
	}
	return h.offendLocked()
}

// offendLocked counts a reset: opening and resetting is cheap for the client
// and dear for us, whether it resets itself or makes us do it.
func (h *http2) offendLocked() error {
	if h.offences++; h.offences > h2Offences {
		return message.ConnError(message.CodeCalm)
	}
	return nil
}

// retireLocked notes that we reset a stream: the client may have sent more for
// it before it knew.
func (h *http2) retireLocked(id uint32) {
	if len(h.retired) == h2Retired {
		h.retired = h.retired[:copy(h.retired, h.retired[1:])]
	}
	h.retired = append(h.retired, id)
}

// trailers end a request body.
func (h *http2) trailers(id uint32, block []byte) error {
	var t message.Head
	fits, err := h.decoder.Decode(&t, block)
	if err != nil {
		return err
	}
	if h.unused(id) {
		return message.ConnError(message.CodeProtocol)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.streams[id]
	switch {
	case s == nil:
		return h.strayLocked(id)
	case s.remoteEnd:
		return s.failLocked(message.CodeClosed)
	case !h.ends || !fits || h.decoder.Size() > h2Trailers || s.sized && s.left > 0:
		return s.failLocked(message.CodeProtocol)
	}
	for _, f := range t.Fields {
		if strings.HasPrefix(f.Name, ":") || !f.ValidH2() {
			return s.failLocked(message.CodeProtocol)
		}
		if message.KindOf(f.Name) == message.KindPlain {
			s.tail = append(s.tail, f)
		}
	}
	s.endRemoteLocked()
	s.moved.Broadcast()
	return nil
}

func (h *http2) reset(id uint32) error {
	if h.unused(id) {
		return message.ConnError(message.CodeProtocol)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.streams[id]
	if s == nil {
		return nil
	}
	s.cutLocked()
	return h.offendLocked()
}

func (h *http2) settings(flags byte, b []byte) error {
	if h.greeted = true; flags&message.FlagAck != 0 {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	initial := h.initial
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
			initial = int64(value)
		case message.SetFrame:
			if value < message.MaxFrame || value > 1<<24-1 {
				return message.ConnError(message.CodeProtocol)
			}
		}
	}
	// The last value holds; the streams are looked at once, however many there were.
	if grown := initial - h.initial; grown != 0 {
		// It does what a WINDOW_UPDATE for each stream would, and weighs as much.
		if err := h.thrift.charge(int64(len(h.streams)) * windowUpdateSize); err != nil {
			return err
		}
		h.initial = initial
		for _, s := range h.streams {
			if s.window += grown; s.window > 1<<31-1 {
				return message.ConnError(message.CodeFlow)
			}
			s.moved.Broadcast()
		}
	}
	return h.controlLocked(message.AppendFrame(nil, 0, message.FrameSettings, message.FlagAck, 0))
}

// windowUpdateSize is that of a whole frame, in bytes.
const windowUpdateSize = message.FrameHeaderSize + 4

func (h *http2) windowUpdate(id uint32, n int64) error {
	if id != 0 && h.unused(id) {
		return message.ConnError(message.CodeProtocol)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if id == 0 {
		if n == 0 {
			return message.ConnError(message.CodeProtocol)
		}
		if h.granted += n; h.granted > 1<<31-1 {
			return message.ConnError(message.CodeFlow)
		}
		h.unblockLocked()
		return nil
	}
	s := h.streams[id]
	switch {
	case s == nil:
		return nil
	case n == 0:
		return s.failLocked(message.CodeProtocol)
	}
	if s.window += n; s.window > 1<<31-1 {
		return s.failLocked(message.CodeFlow)
	}
	s.moved.Broadcast()
	return nil
}

// giveBackLocked returns window of the connection for n bytes that are used up,
// in large steps.
func (h *http2) giveBackLocked(n int64) {
	if h.owed += n; h.owed >= h2ConnWindow/4 {
		h.bufferLocked(16)
		h.out = message.AppendWindow(h.out, 0, uint32(h.owed))
		h.recv += h.owed
		h.owed = 0
	}
}
