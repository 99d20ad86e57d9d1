package transport

import "sync"

// An ahead holds what was read ahead of the reader.
type ahead struct {
	bytes [16 << 10]byte
}

// aheads is for all connections: one has an ahead only until it is read.
var aheads = sync.Pool{New: func() any { return new(ahead) }}
