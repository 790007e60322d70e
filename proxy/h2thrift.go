package proxy

import (
	"encoding/binary"
	"time"

	"towline/proxy/message"
)

// thrift bounds what a client can make us do by frames that carry nothing:
// their bytes may not exceed a small allowance and eight times those that do.
type thrift struct {
	left int64 // in bytes
	at   time.Time
}

const (
	thriftMost = 1 << 20
	thriftRate = 16 << 10 // bytes that come back each second
)

func (t *thrift) spend(f message.FrameHead, b []byte) error {
	switch {
	case f.Kind == message.FrameHeaders, f.Kind == message.FrameContinuation:
		return nil // see offences
	case f.Kind == message.FrameData && f.Length > 0:
		t.left = min(t.left+8*int64(f.Length), thriftMost)
		return nil
	case f.Kind == message.FrameData && f.Flags&message.FlagEndStream != 0:
		return nil
	case f.Kind == message.FrameWindow && binary.BigEndian.Uint32(b) >= 1<<10:
		return nil // it cannot be repeated without end: windows have a bound
	}
	return t.charge(message.FrameHeaderSize + int64(f.Length))
}

// charge takes n bytes off.
func (t *thrift) charge(n int64) error {
	if t.left -= n; t.left >= 0 {
		return nil
	}
	now := time.Now()
	if t.at.IsZero() {
		t.at = now.Add(-time.Hour)
	}
	t.left = min(t.left+int64(now.Sub(t.at).Seconds()*thriftRate), thriftMost)
	if t.at = now; t.left < 0 {
		return message.ConnError(message.CodeCalm)
	}
	return nil
}
