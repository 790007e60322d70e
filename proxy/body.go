package proxy

import "io"

// framing says how the end of a body is known.
type framing uint8

const (
	noBody framing = iota
	byLength
	byChunks
	byClose
)

// Limits of chunked bodies, in bytes: of one chunk's size line, and of all
// trailers together.
const (
	maxChunkLine = 1 << 10
	maxTrailers  = 16 << 10
)

// body reads one message body off a connection. It never reads past the end.
type body struct {
	rd       *reader
	framing  framing
	left     int64 // byLength: of the body; byChunks: of the chunk
	first    bool  // no chunk has been read
	done     bool
	trailers []field
}

func (b *body) start(rd *reader, f framing, length int64) {
	*b = body{rd: rd, framing: f, left: length, trailers: b.trailers[:0]}
	switch f {
	case noBody:
		b.done = true
	case byLength:
		b.done = length == 0
	case byChunks:
		b.left, b.first = 0, true
	}
}

// Read returns io.EOF with, or after, the last byte; io.ErrUnexpectedEOF when
// the peer left early; errBadFraming when chunks are malformed.
func (b *body) Read(p []byte) (int, error) {
	if b.done {
		return 0, io.EOF
	}
	if b.framing == byChunks {
		return b.readChunks(p)
	}
	if b.framing == byLength && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.some(p)
	if b.framing == byClose {
		if err == io.EOF {
			b.done = true
		}
		return n, err
	}
	if b.left -= int64(n); b.left == 0 {
		b.done = true
		return n, io.EOF
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// some reads what is buffered, or else straight from the connection: large
// bodies skip the buffer.
func (b *body) some(p []byte) (int, error) {
	if rd := b.rd; rd.r < rd.w {
		n := copy(p, rd.buf[rd.r:rd.w])
		rd.r += n
		return n, nil
	}
	return b.rd.src.Read(p)
}

// readChunks fills p with as many chunks as are at hand, so that a stream of
// small ones is handed on in one piece; it blocks only for the first byte.
func (b *body) readChunks(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if b.left == 0 {
			if n > 0 && !b.lineBuffered() {
				return n, nil
			}
			if err := b.nextChunk(); err != nil {
				return n, err
			}
			if b.done {
				return n, io.EOF
			}
		}
		if n > 0 && b.rd.r == b.rd.w {
			return n, nil
		}
		part := p[n:]
		if int64(len(part)) > b.left {
			part = part[:b.left]
		}
		m, err := b.some(part)
		n += m
		b.left -= int64(m)
		if err != nil && m == 0 {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return n, err
		}
	}
	return n, nil
}

// lineBuffered tells whether the next chunk's size line can be read without
// waiting for the peer.
func (b *body) lineBuffered() bool {
	data := b.rd.buffered()
	if !b.first {
		if len(data) < 2 {
			return false
		}
		data = data[2:]
	}
	if len(data) > 0 && data[0] == '0' {
		// The end and its trailers: wait for all of it or none.
		return headEnd(data, 0) >= 0
	}
	for _, c := range data {
		if c == '\n' {
			return true
		}
	}
	return false
}

// nextChunk reads a size line and, after the last chunk, the trailers.
func (b *body) nextChunk() error {
	b.rd.acquire()
	if !b.first {
		end, err := b.rd.line(2)
		if err != nil {
			return err
		}
		if len(end) != 0 {
			return errBadFraming
		}
	}
	b.first = false
	line, err := b.rd.line(maxChunkLine)
	if err != nil {
		return err
	}
	size, ok := parseChunkSize(line)
	if !ok {
		return errBadFraming
	}
	if b.left = size; size > 0 {
		return nil
	}
	return b.readTrailers()
}

// parseChunkSize reads hexadecimal digits and skips extensions, in which only
// visible characters, spaces and tabs may stand.
func parseChunkSize(line []byte) (int64, bool) {
	var n int64
	i := 0
	for ; i < len(line); i++ {
		var digit byte
		switch c := line[i]; {
		case '0' <= c && c <= '9':
			digit = c - '0'
		case 'a' <= c && c <= 'f':
			digit = c - 'a' + 10
		case 'A' <= c && c <= 'F':
			digit = c - 'A' + 10
		default:
			digit = 16
		}
		if digit == 16 {
			break
		}
		if i >= 15 {
			return 0, false
		}
		n = n<<4 | int64(digit)
	}
	if i == 0 {
		return 0, false
	}
	if i < len(line) {
		rest := trimSpace(text(line[i:]))
		if rest == "" || rest[0] != ';' || !all(rest, &valueChar) {
			return 0, false
		}
	}
	return n, true
}

// readTrailers keeps trailers that may be handed on and drops the rest.
func (b *body) readTrailers() error {
	total := 0
	for {
		line, err := b.rd.line(maxTrailers)
		if err != nil {
			return err
		}
		if len(line) == 0 {
			b.done = true
			return nil
		}
		if total += len(line); total > maxTrailers {
			return errBadFraming
		}
		s := string(line)
		colon := 0
		for colon < len(s) && s[colon] != ':' {
			colon++
		}
		if colon == 0 || colon == len(s) {
			return errBadFraming
		}
		f := field{s[:colon], trimSpace(s[colon+1:])}
		if !all(f.name, &tokenChar) || !all(f.value, &valueChar) {
			return errBadFraming
		}
		if kindOf(f.name) == plain {
			b.trailers = append(b.trailers, f)
		}
	}
}

// ready tells whether a Read would return without waiting for the peer.
func (b *body) ready() bool {
	if b.done {
		return true
	}
	if b.framing == byChunks && b.left == 0 {
		return b.lineBuffered()
	}
	return b.rd.r < b.rd.w
}

// frameChunk writes the size before the n bytes at buf[at:] and the line end
// behind them: there must be room of chunkBefore and chunkAfter bytes. The size
// has four digits always, so that nothing need be moved.
func frameChunk(buf []byte, at, n int) []byte {
	const digits = "0123456789abcdef"
	p := buf[at-chunkBefore : at : at]
	p[0], p[1], p[2], p[3] = digits[n>>12&15], digits[n>>8&15], digits[n>>4&15], digits[n&15]
	p[4], p[5] = '\r', '\n'
	buf[at+n], buf[at+n+1] = '\r', '\n'
	return buf[at-chunkBefore : at+n+chunkAfter]
}

// Room around the bytes of a chunk for what frames them.
const (
	chunkBefore = 6
	chunkAfter  = 2
)
