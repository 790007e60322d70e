package proxy

import (
	"encoding/binary"
	"errors"
)

// Frame types, flags, settings and error codes of RFC 9113.
const (
	frameData         = 0
	frameHeaders      = 1
	framePriority     = 2
	frameReset        = 3
	frameSettings     = 4
	framePush         = 5
	framePing         = 6
	frameGoAway       = 7
	frameWindow       = 8
	frameContinuation = 9

	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20

	setHeaderTable = 1
	setPush        = 2
	setStreams     = 3
	setWindow      = 4
	setFrame       = 5
	setHeaderList  = 6

	codeNone        = 0
	codeProtocol    = 1
	codeInternal    = 2
	codeFlow        = 3
	codeClosed      = 5
	codeFrameSize   = 6
	codeRefused     = 7
	codeCancel      = 8
	codeCompression = 9
	codeCalm        = 11
)

const (
	h2Preface     = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	h2FrameHeader = 9
	h2MaxFrame    = 16 << 10 // that we take, and the least that a peer takes
)

// h2Error ends the connection with a code.
type h2Error uint32

func (h2Error) Error() string { return "HTTP/2 protocol violation" }

var errStreamReset = errors.New("stream was reset")

func appendFrame(b []byte, length int, kind, flags byte, stream uint32) []byte {
	return append(b, byte(length>>16), byte(length>>8), byte(length), kind, flags,
		byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
}

func appendReset(b []byte, stream, code uint32) []byte {
	b = appendFrame(b, 4, frameReset, 0, stream)
	return binary.BigEndian.AppendUint32(b, code)
}

func appendWindow(b []byte, stream, n uint32) []byte {
	b = appendFrame(b, 4, frameWindow, 0, stream)
	return binary.BigEndian.AppendUint32(b, n)
}

func appendGoAway(b []byte, last, code uint32) []byte {
	b = appendFrame(b, 8, frameGoAway, 0, 0)
	b = binary.BigEndian.AppendUint32(b, last)
	return binary.BigEndian.AppendUint32(b, code)
}

func appendSetting(b []byte, id uint16, value uint32) []byte {
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

// appendHPACKStatus writes ":status".
func appendHPACKStatus(b []byte, status int) []byte {
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

func appendHPACK(b []byte, name, value string) []byte {
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
