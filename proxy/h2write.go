package proxy

import (
	"sync"

	"towline/proxy/message"
)

// Sizes of the pooled buffers for frames, in bytes: of one for heads and small
// bodies, and of one that holds all that may be queued, however full it was.
const (
	h2Small = 4 << 10
	h2Large = h2WriteQueue + bodySize
)

var (
	h2SmallBuffers = sync.Pool{New: func() any { return new([h2Small]byte) }}
	h2LargeBuffers = sync.Pool{New: func() any { return new([h2Large]byte) }}
)

// bufferLocked sees that n more bytes can be queued without moving the others.
func (h *http2) bufferLocked(n int) {
	switch {
	case cap(h.out)-len(h.out) >= n:
	case len(h.out)+n <= h2Small:
		recycle(h.out)
		h.out = h2SmallBuffers.Get().(*[h2Small]byte)[:0]
	case cap(h.out) < h2Large:
		old := h.out
		h.out = append(h2LargeBuffers.Get().(*[h2Large]byte)[:0], old...)
		recycle(old)
	}
}

// recycle gives a buffer for frames back to its pool.
func recycle(b []byte) {
	switch cap(b) {
	case h2Small:
		h2SmallBuffers.Put((*[h2Small]byte)(b[:h2Small]))
	case h2Large:
		h2LargeBuffers.Put((*[h2Large]byte)(b[:h2Large]))
	}
}

// control queues frames of the reader's and sees that they are written. A
// client that sends and does not read is given up.
func (h *http2) control(b []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.controlLocked(b)
}

func (h *http2) controlLocked(b []byte) error {
	if len(h.out) > h2ControlQueue {
		return message.ConnError(message.CodeCalm)
	}
	h.bufferLocked(len(b))
	h.out = append(h.out, b...)
	h.startWriterLocked()
	return nil
}

// startWriterLocked has another goroutine write what is queued.
func (h *http2) startWriterLocked() {
	if batch := h.takeLocked(); batch != nil {
		go func() {
			defer h.p.guard("connection", func() { h.raw.Close() })
			h.writeOut(batch)
		}()
	}
}

// takeLocked takes what is queued, for the caller to write by writeOut once it
// has let the lock go. nil: there is nothing, or somebody else is writing and
// will take it along. So answers that are ready together share a TLS record and
// a system call.
func (h *http2) takeLocked() []byte {
	if h.writing || len(h.out) == 0 || h.err != nil {
		return nil
	}
	h.writing = true
	batch := h.out
	h.out, h.spare = h.spare, nil
	if len(batch) > h2HeadQueue {
		h.quiet.Broadcast()
	}
	return batch
}

// h2Turns is how many batches one goroutine writes before it leaves the rest to
// another: it has work of its own, but handing over costs more than a write.
const h2Turns = 8

// writeOut writes what takeLocked returned, and what is queued meanwhile.
func (h *http2) writeOut(batch []byte) {
	for turn := 1; batch != nil; turn++ {
		err := h.put(batch)
		h.mu.Lock()
		batch = h.wroteLocked(batch, err, turn == h2Turns)
		h.mu.Unlock()
	}
}

// wroteLocked ends a write; it returns the next batch, or nil if there is none
// or another goroutine is to write it.
func (h *http2) wroteLocked(batch []byte, err error, enough bool) []byte {
	h.writing = false
	if err != nil {
		h.failLocked(err)
	}
	if h.spare == nil && cap(batch) <= h2Large {
		h.spare = batch[:0]
	} else {
		recycle(batch)
	}
	h.unblockLocked()
	switch {
	case len(h.out) == 0:
		if len(h.streams) == 0 {
			h.dropBuffersLocked()
		}
		h.quiet.Broadcast()
	case enough:
		h.startWriterLocked()
	default:
		return h.takeLocked()
	}
	return nil
}

// put writes a batch in pieces of a TLS record each. A client that reads slowly
// has its time: see wire.
func (h *http2) put(batch []byte) error {
	for len(batch) > 0 {
		n := min(len(batch), 16<<10)
		if _, err := h.c.Write(batch[:n]); err != nil {
			return err
		}
		batch = batch[n:]
	}
	return nil
}

// dropBuffersLocked: an idle connection keeps no buffers.
func (h *http2) dropBuffersLocked() {
	recycle(h.out)
	recycle(h.spare)
	h.out, h.spare = nil, nil
}

// unblockLocked wakes handlers that wait for what all streams share, the longest
// waiting first and no more than there is room for: so each has its turn.
func (h *http2) unblockLocked() {
	for room := h.sharedLocked(); len(h.blocked) > 0 && (room > 0 || h.err != nil); room -= h2Data {
		s := h.blocked[0]
		h.blocked[0] = nil
		h.blocked = h.blocked[1:]
		s.blocked = false
		s.moved.Broadcast()
		if s.goneLocked() {
			room += h2Data // it takes nothing
		}
	}
}

// sharedLocked is how much may be queued now, of all streams together, in bytes.
func (h *http2) sharedLocked() int64 {
	return min(h.granted, int64(h2WriteQueue-len(h.out)))
}
