package proxy

import "sync"

// bodySize is the size of the pooled buffers for bodies, in bytes.
const bodySize = 64 << 10

var bodyBuffers = sync.Pool{New: func() any { return new([bodySize]byte) }}
