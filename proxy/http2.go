package proxy

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"towline/proxy/message"
)

// Limits of one HTTP/2 connection.
const (
	h2Streams      = 250       // open at a time, RFC 9113, 5.1.2
	h2Handlers     = 1000      // goroutines, those of streams that were reset included
	h2StreamWindow = 512 << 10 // bytes of a request body that may be under way
	h2ConnWindow   = 1 << 20   // of all bodies of a connection
	h2HeadBytes    = 4 << 20   // of all request heads of a connection
	h2Trailers     = 16 << 10  // bytes of the trailers of a request
	h2WriteQueue   = 128 << 10 // bytes queued before an answer waits
	h2HeadQueue    = 256 << 10 // bytes queued before an answer's head waits
	h2ControlQueue = 512 << 10 // bytes queued before a client that does not read is given up
	h2Offences     = 200       // resets that a client may be ahead of what it let finish
	h2Retired      = 256       // streams that we reset and still know; more cannot be under way
	h2FrameTimeout = time.Minute
	h2LeaveTimeout = time.Second
	h2LastWords    = 5 * time.Second // for a client that broke a rule to read which
)

// http2 serves HTTP/2 on one client connection.
//
// Who owns what, and until when:
//
//   - The reader is the goroutine that runs serve. It alone uses the first group
//     of fields. It ends when the client is gone, broke a rule or was said
//     good-bye to; then it waits for the handlers to end.
//   - A handler is the goroutine that serves one stream (h2Stream.run). It ends
//     with its exchange. What it needs besides for a while it borrows from its
//     worker (h2worker.go), and nobody else ever reaches that.
//   - mu guards the second group, and the first group of every stream. No
//     function whose name ends in Locked lets it go.
//   - Frames to send are queued under mu, and one goroutine at a time writes
//     them (h2write.go): a handler that has just queued some, or one started
//     for it, but never the reader.
//   - Streams, exchanges and connections are left to the garbage collector.
//     Nothing that two goroutines can reach is ever used again for another.
type http2 struct {
	p    *Proxy
	raw  net.Conn
	c    *tls.Conn
	peer netip.Addr
	port uint16

	rd      message.Reader
	read    deadline
	decoder *message.BlockDecoder
	first   [1]byte
	block   []byte                   // of a header block that is not complete
	inBlock uint32                   // the stream that it is of; 0: none
	ends    bool                     // it carries END_STREAM
	since   time.Time                // when a frame or a block began that is not complete
	last    uint32                   // highest stream that the client named
	gathers bool                     // dry is called when nothing can be read for now
	unheard *h2Stream                // its handler is not told yet that data came
	waiting atomic.Pointer[h2Stream] // what unheard was when a wait for more of it began
	skipped [2]uint32                // the last range of streams that it left out
	thrift  thrift
	greeted bool // its SETTINGS came

	mu       sync.Mutex
	streams  map[uint32]*h2Stream // those that are not closed
	rests    time.Time            // since when there is none
	retired  []uint32             // those that we reset, oldest first
	handling int                  // handlers
	heads    int                  // bytes of request heads that they hold
	offences int                  // resets, less what finished
	quiet    sync.Cond            // no handler is left, nobody writes, or much that was queued is being written
	granted  int64                // window that the client grants for all answers
	sent     int64                // bytes of bodies queued, of all answers
	recv     int64                // window that the client may use
	owed     int64                // bytes of bodies used up and not yet given back
	initial  int64                // window of new streams
	out      []byte
	spare    []byte
	writing  bool
	blocked  []*h2Stream // handlers that wait for granted, or for room in out
	tableSet bool        // our empty HPACK table was announced
	opened   uint32      // highest stream that is served
	leaving  leaving
	counted  bool  // the connection counts as a request until it has left
	err      error // the connection is of no more use
}

var (
	errGoodBye = errors.New("the connection is finished")
	errStalled = errors.New("the rest of a frame does not come")
)

func newHTTP2(p *Proxy, raw net.Conn, c *tls.Conn, peer netip.Addr, port uint16) *http2 {
	h := &http2{p: p, raw: raw, c: c, peer: peer, port: port, streams: map[uint32]*h2Stream{}, rests: time.Now(),
		granted: 65535, initial: 65535, recv: h2ConnWindow}
	h.rd.Src = c
	h.quiet.L = &h.mu
	h.decoder = message.NewBlockDecoder(maxHead)
	h.out = appendH2Settings(h.out) // before all else, also if a stop says good-bye at once
	return h
}

func appendH2Settings(b []byte) []byte {
	b = message.AppendFrame(b, 24, message.FrameSettings, 0, 0)
	b = message.AppendSetting(b, message.SetStreams, h2Streams)
	b = message.AppendSetting(b, message.SetWindow, h2StreamWindow)
	b = message.AppendSetting(b, message.SetHeaderList, maxHead)
	b = message.AppendSetting(b, message.SetPush, 0)
	return message.AppendWindow(b, 0, h2ConnWindow-65535)
}

// serve returns when the connection is finished and its handlers have ended.
func (h *http2) serve() {
	defer h.end()
	err := h.start()
	for err == nil {
		err = h.frame()
	}
	h.stop(err)
}

// stop ends every stream, and tells the client why if that is its own doing.
func (h *http2) stop(err error) {
	var violation message.ConnError
	blame := errors.As(err, &violation)
	h.mu.Lock()
	if blame && h.err == nil {
		h.p.refused.Add(1)
		h.out = message.AppendGoAway(h.out, h.opened, uint32(violation))
		defer time.AfterFunc(h2LastWords, func() { h.raw.Close() }).Stop()
	}
	for _, s := range h.streams {
		s.cutLocked()
	}
	batch := h.takeLocked()
	h.mu.Unlock()
	h.writeOut(batch)
	switch {
	case blame:
		h.linger(h2LastWords)
	case err == errGoodBye:
		h.linger(h2LeaveTimeout)
	}
}

// linger closes our side, so that the client can read the last frames: a close
// with unread input would reset them away.
func (h *http2) linger(limit time.Duration) {
	h.mu.Lock()
	for h.writing && h.err == nil {
		h.quiet.Wait()
	}
	failed := h.err != nil
	h.mu.Unlock()
	if failed {
		return
	}
	_ = h.c.CloseWrite()
	if half, ok := h.raw.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		return
	}
	_ = h.raw.SetReadDeadline(time.Now().Add(limit))
	_, _ = io.CopyN(io.Discard, h.raw, 1<<20)
}

// end waits for the handlers, and lets go of what the connection holds.
func (h *http2) end() {
	h.mu.Lock()
	h.failLocked(net.ErrClosed)
	for h.handling > 0 {
		h.quiet.Wait()
	}
	counted := h.counted
	h.counted = false
	h.mu.Unlock()
	if counted {
		h.p.running.done()
	}
	h.rd.Drop()
}

// failLocked gives the connection up.
func (h *http2) failLocked(err error) {
	if h.err != nil {
		return
	}
	h.err = err
	h.raw.Close()
	for _, s := range h.streams {
		s.cutLocked()
	}
	h.unblockLocked()
	h.quiet.Broadcast()
}

// start sends our settings and reads the client's preface.
func (h *http2) start() error {
	if err := h.control(nil); err != nil {
		return err
	}
	h.rd.Acquire()
	if err := h.await(len(message.Preface), true); err != nil {
		return err
	}
	if string(h.rd.Buf[h.rd.R:h.rd.R+len(message.Preface)]) != message.Preface {
		return message.ConnError(message.CodeProtocol)
	}
	h.rd.R += len(message.Preface)
	return nil
}

// frame reads and handles one frame.
func (h *http2) frame() error {
	if err := h.await(message.FrameHeaderSize, false); err != nil {
		return err
	}
	f, err := message.ParseFrameHead(h.rd.Buffered())
	switch {
	case !h.greeted && (f.Kind != message.FrameSettings || f.Flags&message.FlagAck != 0):
		return message.ConnError(message.CodeProtocol)
	case err != nil:
		return err
	case h.inBlock != 0 && (f.Kind != message.FrameContinuation || f.Stream != h.inBlock):
		return message.ConnError(message.CodeProtocol)
	}
	if f.Kind == message.FrameData && f.Length >= largeFrame && f.Flags&message.FlagPadded == 0 {
		return h.largeData(f)
	}
	if err := h.await(message.FrameHeaderSize+f.Length, true); err != nil {
		return err
	}
	payload := h.rd.Buf[h.rd.R+message.FrameHeaderSize : h.rd.R+message.FrameHeaderSize+f.Length]
	h.rd.R += message.FrameHeaderSize + f.Length
	if err := h.handle(f, payload); err != nil {
		return err
	}
	if h.inBlock == 0 {
		h.since = time.Time{}
	}
	return nil
}

// await reads until n bytes are buffered. begun: they are the rest of something.
func (h *http2) await(n int, begun bool) error {
	for h.rd.W-h.rd.R < n {
		begun := begun || h.rd.W > h.rd.R || h.inBlock != 0 || !h.greeted
		if err := h.arm(begun); err != nil {
			return err
		}
		if err := h.fill(); err != nil {
			if err = h.missed(err, begun); err != nil {
				return err
			}
		}
	}
	return nil
}

// arm sets the deadline of the next read. Between frames a connection without
// streams times out; one with streams does not, for it is they who have
// timeouts. What has begun, a frame or a header block, must be complete in time.
func (h *http2) arm(begun bool) error {
	now := time.Now()
	if !begun {
		h.read.arm(h.c.SetReadDeadline, now, h.p.options.KeepAlive)
	} else if h.since.IsZero() {
		h.since, h.read = now, deadline{}
		_ = h.c.SetReadDeadline(now.Add(h.patience()))
	}
	// Asked after the deadline is set: whoever makes it true sets another.
	if h.finished() {
		return errGoodBye
	}
	return nil
}

// restsSince is since when nothing is asked on the connection, in Unix nanoseconds; 0: a
// stream is open, or the end of an answer is still being written.
func (h *http2) restsSince() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.streams) > 0 || h.writing || len(h.out) > 0 {
		return 0
	}
	return h.rests.UnixNano()
}

// missed tells what it means that a read failed; nil: nothing, read on.
func (h *http2) missed(err error, begun bool) error {
	switch {
	case !isTimeout(err):
		return err
	case h.finished():
		return errGoodBye
	case begun:
		return errStalled
	}
	h.read = deadline{}
	h.leaveIdle()
	return nil
}

// patience is how long the rest may take of what has begun.
func (h *http2) patience() time.Duration {
	if h.inBlock != 0 || !h.greeted {
		return h.p.options.HeaderTimeout
	}
	return h2FrameTimeout
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
	// TLS holds the rest of the record, so this read costs no system call.
	return h.rd.Fill()
}

// largeFrame is from how many bytes on the payload of a DATA frame is read to
// where it stays, and not by way of the buffer: so much that a chunk is well used.
const largeFrame = h2Chunk / 2

// largeData reads and handles a DATA frame whose head is next in the buffer.
func (h *http2) largeData(f message.FrameHead) error {
	chunk := h2Chunks.Get().(*[h2Chunk]byte)
	n := copy(chunk[:f.Length], h.rd.Buffered()[message.FrameHeaderSize:])
	h.rd.R += message.FrameHeaderSize + n
	for n < f.Length {
		if err := h.arm(true); err != nil {
			return err
		}
		m, err := h.c.Read(chunk[n:f.Length])
		if n += m; m == 0 && err != nil {
			if err = h.missed(err, true); err != nil {
				return err
			}
		}
	}
	h.since = time.Time{}
	if err := h.thrift.spend(f, nil); err != nil {
		return err
	}
	taken, err := h.data(f, chunk[:n], chunk)
	if !taken {
		h2Chunks.Put(chunk)
	}
	return err
}
