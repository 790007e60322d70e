package proxy

import "sync"

// h2Chunk is the size of the pooled buffers for request bodies, in bytes.
const h2Chunk = 16 << 10

var h2Chunks = sync.Pool{New: func() any { return new([h2Chunk]byte) }}

// h2Body queues what has come of a request body. It is filled densely, so that
// it holds little more than its bytes, however small the frames are.
type h2Body struct {
	chunks []*[h2Chunk]byte
	r, w   int // in the first chunk, and in the last
}

func (q *h2Body) size() int {
	if len(q.chunks) == 0 {
		return 0
	}
	return (len(q.chunks)-1)*h2Chunk + q.w - q.r
}

func (q *h2Body) append(b []byte) {
	for len(b) > 0 {
		if len(q.chunks) == 0 || q.w == h2Chunk {
			if len(q.chunks) == 0 {
				q.r = 0
			}
			q.chunks, q.w = append(q.chunks, h2Chunks.Get().(*[h2Chunk]byte)), 0
		}
		n := copy(q.chunks[len(q.chunks)-1][q.w:], b)
		q.w += n
		b = b[n:]
	}
}

// read moves bytes to p.
func (q *h2Body) read(p []byte) int {
	total := 0
	for total < len(p) && len(q.chunks) > 0 {
		end := h2Chunk
		if len(q.chunks) == 1 {
			end = q.w
		}
		n := copy(p[total:], q.chunks[0][q.r:end])
		total += n
		if q.r += n; q.r == end {
			h2Chunks.Put(q.chunks[0])
			q.chunks[0] = nil
			q.chunks, q.r = q.chunks[1:], 0
		}
	}
	return total
}

// whole is all that is queued, in one piece; false: it is in several. It is
// valid until the next call.
func (q *h2Body) whole() ([]byte, bool) {
	switch len(q.chunks) {
	case 0:
		return nil, true
	case 1:
		return q.chunks[0][q.r:q.w], true
	}
	return nil, false
}

// drop forgets what is queued.
func (q *h2Body) drop() {
	for _, c := range q.chunks {
		h2Chunks.Put(c)
	}
	q.chunks, q.r, q.w = nil, 0, 0
}
