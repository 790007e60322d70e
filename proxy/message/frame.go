package message

import (
	"encoding/binary"
	"strconv"
)

// Frame types, flags, settings and error codes of RFC 9113.
const (
	FrameData         = 0
	FrameHeaders      = 1
	FramePriority     = 2
	FrameReset        = 3
	FrameSettings     = 4
	FramePush         = 5
	FramePing         = 6
	FrameGoAway       = 7
	FrameWindow       = 8
	FrameContinuation = 9

	FlagEndStream  = 0x1
	FlagAck        = 0x1
	FlagEndHeaders = 0x4
	FlagPadded     = 0x8
	FlagPriority   = 0x20

	SetPush       = 2
	SetStreams    = 3
	SetWindow     = 4
	SetFrame      = 5
	SetHeaderList = 6

	CodeNone        = 0
	CodeProtocol    = 1
	CodeInternal    = 2
	CodeFlow        = 3
	CodeClosed      = 5
	CodeFrameSize   = 6
	CodeRefused     = 7
	CodeCancel      = 8
	CodeCompression = 9
	CodeCalm        = 11
)

const (
	Preface         = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	FrameHeaderSize = 9
	MaxFrame        = 16 << 10 // that we take, and the least that a peer takes
)

// ConnError is a violation that ends the connection, with a code of RFC 9113, 7.
type ConnError uint32

func (e ConnError) Error() string {
	return "HTTP/2 protocol violation, code " + strconv.Itoa(int(e))
}

// FrameHead is the head that each frame begins with (RFC 9113, 4.1).
type FrameHead struct {
	Length      int // of the payload, in bytes
	Kind, Flags byte
	Stream      uint32
}

// ParseFrameHead reads the FrameHeaderSize bytes at the start of b and checks
// what can be told of the frame without its payload or the state of the
// connection. An error is a ConnError.
func ParseFrameHead(b []byte) (FrameHead, error) {
	f := FrameHead{int(b[0])<<16 | int(b[1])<<8 | int(b[2]), b[3], b[4], binary.BigEndian.Uint32(b[5:]) & (1<<31 - 1)}
	if f.Length > MaxFrame {
		return f, ConnError(CodeFrameSize)
	}
	stream, size := true, true // what stands in the frame is allowed
	switch f.Kind {
	case FrameData, FrameHeaders, FrameContinuation:
		stream = f.Stream != 0
	case FramePriority:
		stream, size = f.Stream != 0, f.Length == 5
	case FrameReset:
		stream, size = f.Stream != 0, f.Length == 4
	case FrameSettings:
		stream, size = f.Stream == 0, f.Length%6 == 0 && (f.Flags&FlagAck == 0 || f.Length == 0)
	case FramePing:
		stream, size = f.Stream == 0, f.Length == 8
	case FrameGoAway:
		stream, size = f.Stream == 0, f.Length >= 8
	case FrameWindow:
		size = f.Length == 4
	case FramePush:
		return f, ConnError(CodeProtocol)
	}
	if !stream {
		return f, ConnError(CodeProtocol)
	}
	if !size {
		return f, ConnError(CodeFrameSize)
	}
	return f, nil
}

// Unpad takes the padding off the payload of a DATA or HEADERS frame.
func Unpad(flags byte, b []byte) ([]byte, error) {
	if flags&FlagPadded == 0 {
		return b, nil
	}
	if len(b) == 0 {
		return nil, ConnError(CodeFrameSize)
	}
	if int(b[0]) >= len(b) {
		return nil, ConnError(CodeProtocol)
	}
	return b[1 : len(b)-int(b[0])], nil
}

// SkipPriority takes the priority off the payload of a HEADERS frame of stream.
func SkipPriority(flags byte, stream uint32, b []byte) ([]byte, error) {
	if flags&FlagPriority == 0 {
		return b, nil
	}
	if len(b) < 5 {
		return nil, ConnError(CodeFrameSize)
	}
	if binary.BigEndian.Uint32(b)&(1<<31-1) == stream {
		return nil, ConnError(CodeProtocol)
	}
	return b[5:], nil
}

// AppendFrame writes the head of a frame; the payload follows.
func AppendFrame(b []byte, length int, kind, flags byte, stream uint32) []byte {
	return append(b, byte(length>>16), byte(length>>8), byte(length), kind, flags,
		byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
}

// AppendReset, AppendWindow and AppendGoAway write whole frames.
func AppendReset(b []byte, stream, code uint32) []byte {
	b = AppendFrame(b, 4, FrameReset, 0, stream)
	return binary.BigEndian.AppendUint32(b, code)
}

func AppendWindow(b []byte, stream, n uint32) []byte {
	b = AppendFrame(b, 4, FrameWindow, 0, stream)
	return binary.BigEndian.AppendUint32(b, n)
}

func AppendGoAway(b []byte, last, code uint32) []byte {
	b = AppendFrame(b, 8, FrameGoAway, 0, 0)
	b = binary.BigEndian.AppendUint32(b, last)
	return binary.BigEndian.AppendUint32(b, code)
}

// AppendSetting writes one setting of a SETTINGS frame.
func AppendSetting(b []byte, id uint16, value uint32) []byte {
	b = binary.BigEndian.AppendUint16(b, id)
	return binary.BigEndian.AppendUint32(b, value)
}

// Fields are written as literals without indexing, names from the static table
// where they are there: no state, so a stream encodes its answer without a lock,
// and nothing of one answer can be guessed from the size of another.

var staticNames = func() map[string]byte {
	m := map[string]byte{}
	for i, n := range [...]string{
		"accept-charset", "accept-encoding", "accept-language", "accept-ranges", "accept",
		"access-control-allow-origin", "age", "allow", "authorization", "cache-control",
		"content-disposition", "content-encoding", "content-language", "content-length",
		"content-location", "content-range", "content-type", "cookie", "date", "etag", "expect",
		"expires", "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range",
		"if-unmodified-since", "last-modified", "link", "location", "max-forwards",
		"proxy-authenticate", "proxy-authorization", "range", "referer", "refresh", "retry-after",
		"server", "set-cookie", "strict-transport-security", "transfer-encoding", "user-agent",
		"vary", "via", "www-authenticate",
	} {
		m[n] = byte(15 + i)
	}
	return m
}()

// AppendHPACKStatus writes ":status".
func AppendHPACKStatus(b []byte, status int) []byte {
	switch status {
	case 200:
		return append(b, 0x88)
	case 204:
		return append(b, 0x89)
	case 206:
		return append(b, 0x8a)
	case 304:
		return append(b, 0x8b)
	case 400:
		return append(b, 0x8c)
	case 404:
		return append(b, 0x8d)
	case 500:
		return append(b, 0x8e)
	}
	return append(b, 0x08, 3, byte('0'+status/100), byte('0'+status/10%10), byte('0'+status%10))
}

// AppendHPACK writes a field.
func AppendHPACK(b []byte, name, value string) []byte {
	var memory [64]byte
	lower := memory[:0]
	for i := 0; i < len(name); i++ {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		lower = append(lower, c)
	}
	if index, ok := staticNames[string(lower)]; ok {
		b = appendInt(b, 0, 4, uint64(index))
	} else {
		b = append(b, 0)
		b = appendInt(b, 0, 7, uint64(len(lower)))
		b = append(b, lower...)
	}
	b = appendInt(b, 0, 7, uint64(len(value)))
	return append(b, value...)
}

// appendInt writes an integer of RFC 7541, 5.1, with a prefix of so many bits.
func appendInt(b []byte, first byte, bits uint, n uint64) []byte {
	limit := uint64(1)<<bits - 1
	if n < limit {
		return append(b, first|byte(n))
	}
	b = append(b, first|byte(limit))
	for n -= limit; n >= 128; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}
