package message

import "io"

// framing says how the end of a body is known.
type framing uint8

const (
	NoBody framing = iota
	ByLength
	ByChunks
	ByClose
)

// Limits of chunked bodies, in bytes: of one chunk's size line, and of all
// trailers together.
const (
	maxChunkLine = 1 << 10
	maxTrailers  = 16 << 10
)

// Body reads one message body off a connection. It never reads past the end.
type Body struct {
	Rd       *Reader
	Framing  framing
	Left     int64 // byLength: of the body; byChunks: of the chunk
	Done     bool
	Trailers []Field

	inChunk  bool // byChunks: the line end of a chunk is due
	inTail   bool // byChunks: the last chunk has been read, trailers are due
	tailSize int  // of the trailers so far, in bytes
}

func (b *Body) Start(rd *Reader, f framing, length int64) {
	*b = Body{Rd: rd, Framing: f, Left: length, Trailers: b.Trailers[:0]}
	switch f {
	case NoBody:
		b.Done = true
	case ByLength:
		b.Done = length == 0
	case ByChunks:
		b.Left = 0
	}
}

// Read returns io.EOF with, or after, the last byte; io.ErrUnexpectedEOF when
// the peer left early; ErrBadFraming when chunks are malformed. After a timeout it
// can be called again.
func (b *Body) Read(p []byte) (int, error) {
	if b.Done {
		return 0, io.EOF
	}
	if b.Framing == ByChunks {
		return b.readChunks(p)
	}
	if b.Framing == ByLength && int64(len(p)) > b.Left {
		p = p[:b.Left]
	}
	n, err := b.some(p)
	if b.Framing == ByClose {
		if err == io.EOF {
			b.Done = true
		}
		return n, err
	}
	if b.Left -= int64(n); b.Left == 0 {
		b.Done = true
		return n, io.EOF
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// some reads what is buffered, or else straight from the connection: large
// bodies skip the buffer.
func (b *Body) some(p []byte) (int, error) {
	if rd := b.Rd; rd.R < rd.W {
		n := copy(p, rd.Buf[rd.R:rd.W])
		rd.R += n
		return n, nil
	}
	return b.Rd.Src.Read(p)
}

// readChunks fills p with as many chunks as are at hand, so that a stream of
// small ones is handed on in one piece; it blocks only for the first byte.
func (b *Body) readChunks(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if b.Left == 0 {
			if n > 0 && !b.lineBuffered() {
				return n, nil
			}
			if err := b.nextChunk(); err != nil {
				return n, err
			}
			if b.Done {
				return n, io.EOF
			}
		}
		if n > 0 && b.Rd.R == b.Rd.W {
			return n, nil
		}
		part := p[n:]
		if int64(len(part)) > b.Left {
			part = part[:b.Left]
		}
		m, err := b.some(part)
		n += m
		b.Left -= int64(m)
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
func (b *Body) lineBuffered() bool {
	data := b.Rd.Buffered()
	if b.inChunk {
		if len(data) < 2 {
			return false
		}
		data = data[2:]
	}
	if len(data) > 0 && data[0] == '0' {
		// The end and its trailers: wait for all of it or none.
		return HeadEnd(data, 0) >= 0
	}
	for _, c := range data {
		if c == '\n' {
			return true
		}
	}
	return false
}

// nextChunk reads a size line and, after the last chunk, the trailers.
func (b *Body) nextChunk() error {
	b.Rd.Acquire()
	if b.inTail {
		return b.readTrailers()
	}
	if b.inChunk {
		end, err := b.Rd.line(2)
		if err != nil {
			return err
		}
		if len(end) != 0 {
			return ErrBadFraming
		}
		b.inChunk = false
	}
	line, err := b.Rd.line(maxChunkLine)
	if err != nil {
		return err
	}
	size, ok := parseChunkSize(line)
	if !ok {
		return ErrBadFraming
	}
	if size > 0 {
		b.Left, b.inChunk = size, true
		return nil
	}
	b.inTail = true
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
		rest := TrimSpace(Text(line[i:]))
		if rest == "" || rest[0] != ';' || !All(rest, &ValueChar) {
			return 0, false
		}
	}
	return n, true
}

// readTrailers keeps trailers that may be handed on and drops the rest.
func (b *Body) readTrailers() error {
	for {
		line, err := b.Rd.line(maxTrailers)
		if err != nil {
			return err
		}
		if len(line) == 0 {
			b.Done = true
			return nil
		}
		if b.tailSize += len(line); b.tailSize > maxTrailers {
			return ErrBadFraming
		}
		s := string(line)
		colon := 0
		for colon < len(s) && s[colon] != ':' {
			colon++
		}
		if colon == 0 || colon == len(s) {
			return ErrBadFraming
		}
		f := Field{s[:colon], TrimSpace(s[colon+1:])}
		if !All(f.Name, &TokenChar) || !All(f.Value, &ValueChar) {
			return ErrBadFraming
		}
		if KindOf(f.Name) == KindPlain {
			b.Trailers = append(b.Trailers, f)
		}
	}
}

// Ready tells whether a Read would return without waiting for the peer.
func (b *Body) Ready() bool {
	if b.Done {
		return true
	}
	if b.inTail {
		return HeadEnd(b.Rd.Buffered(), 0) >= 0 || len(b.Rd.Buffered()) >= 2 && b.Rd.Buf[b.Rd.R] == '\r'
	}
	if b.Framing == ByChunks && b.Left == 0 {
		return b.lineBuffered()
	}
	return b.Rd.R < b.Rd.W
}

// FrameChunk writes the size before the n bytes at buf[at:] and the line end
// behind them: there must be room of chunkBefore and chunkAfter bytes. The size
// has four digits always, so that nothing need be moved.
func FrameChunk(buf []byte, at, n int) []byte {
	const digits = "0123456789abcdef"
	p := buf[at-ChunkBefore : at : at]
	p[0], p[1], p[2], p[3] = digits[n>>12&15], digits[n>>8&15], digits[n>>4&15], digits[n&15]
	p[4], p[5] = '\r', '\n'
	buf[at+n], buf[at+n+1] = '\r', '\n'
	return buf[at-ChunkBefore : at+n+ChunkAfter]
}

// Room around the bytes of a chunk for what frames them.
const (
	ChunkBefore = 6
	ChunkAfter  = 2
)
