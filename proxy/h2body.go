package proxy

import "sync"

// h2Chunk is the size of the pooled buffers for request bodies, in bytes.
const h2Chunk = 16 << 10

var h2Chunks = sync.Pool{New: func() any { return new([h2Chunk]byte) }}

// h2Body queues what has come of a request body. Small pieces share chunks, so
// that it holds little more than its bytes, however small the frames are.
type h2Body struct {
	pieces []h2Piece
	bytes  int
}

// h2Piece is what is in one chunk, at [r:w].
type h2Piece struct {
	chunk *[h2Chunk]byte
	r, w  int
}

func (q *h2Body) size() int { return q.bytes }

// append copies b.
func (q *h2Body) append(b []byte) {
	q.bytes += len(b)
	for len(b) > 0 {
		last := len(q.pieces) - 1
		if last < 0 || q.pieces[last].w == h2Chunk {
			q.pieces = append(q.pieces, h2Piece{chunk: h2Chunks.Get().(*[h2Chunk]byte)})
			last++
		}
		p := &q.pieces[last]
		n := copy(p.chunk[p.w:], b)
		p.w += n
		b = b[n:]
	}
}

// push takes over a chunk with n bytes in it.
func (q *h2Body) push(chunk *[h2Chunk]byte, n int) {
	q.bytes += n
	q.pieces = append(q.pieces, h2Piece{chunk, 0, n})
}

// read moves bytes to b.
func (q *h2Body) read(b []byte) int {
	total := 0
	for total < len(b) && len(q.pieces) > 0 {
		p := &q.pieces[0]
		n := copy(b[total:], p.chunk[p.r:p.w])
		total += n
		if p.r += n; p.r == p.w {
			h2Chunks.Put(p.chunk)
			q.pieces[0] = h2Piece{}
			q.pieces = q.pieces[1:]
		}
	}
	q.bytes -= total
	return total
}

// whole is all that is queued, in one piece; false: it is in several. It is
// valid until the next call.
func (q *h2Body) whole() ([]byte, bool) {
	switch len(q.pieces) {
	case 0:
		return nil, true
	case 1:
		p := &q.pieces[0]
		return p.chunk[p.r:p.w], true
	}
	return nil, false
}

// drop forgets what is queued.
func (q *h2Body) drop() {
	for _, p := range q.pieces {
		h2Chunks.Put(p.chunk)
	}
	q.pieces, q.bytes = nil, 0
}
