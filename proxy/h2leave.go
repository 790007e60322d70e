package proxy

import (
	"time"

	"towline/proxy/message"
)

// leaving says how far a connection is with its good-bye (RFC 9113, 6.8).
type leaving uint8

const (
	staying leaving = iota
	bidding         // the client was told to open no more streams; those under way to us are served
	left            // it was told the last stream that is served
)

// wake says good-bye: streams under way finish, new ones go elsewhere. It does
// not wait. Until it has left, the connection counts as a request, for the
// client may be opening a stream at this moment.
func (h *http2) wake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.leaving != staying || h.err != nil {
		return
	}
	h.leaving, h.counted = bidding, true
	h.p.running.add()
	h.out = message.AppendGoAway(h.out, 1<<31-1, message.CodeNone)
	// Once the client answers this, it has read the line above.
	h.out = append(message.AppendFrame(h.out, 8, message.FramePing, 0, 0), "good-bye"...)
	h.startWriterLocked()
	time.AfterFunc(h2LeaveTimeout, h.leave)
}

// leave tells the client the last stream that is served, if it waits for that.
func (h *http2) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.leaving == bidding {
		h.leaveLocked()
	}
}

func (h *http2) leaveLocked() {
	h.leaving = left
	h.out = message.AppendGoAway(h.out, h.opened, message.CodeNone)
	h.startWriterLocked()
	h.releaseReaderLocked()
}

// leaveIdle says good-bye to a client that has asked for nothing for a while.
func (h *http2) leaveIdle() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.handling == 0 && h.leaving == staying {
		h.leaveLocked()
	}
}

// finished tells whether good-bye was said and nothing is under way.
func (h *http2) finished() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.leaving == left && h.handling == 0
}

// releaseReaderLocked ends the reader's wait if nothing is left to wait for.
func (h *http2) releaseReaderLocked() {
	if h.leaving == left && h.handling == 0 {
		_ = h.raw.SetReadDeadline(time.Unix(1, 0))
	}
}
