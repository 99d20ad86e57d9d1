package session

import "sync"

// Slices of messages have three sizes. A session keeps one small slice; blocks are
// shared by all sessions; longer slices are for clients that are behind.
const smallSlice = 2

type block [behindUpdates]Message

var blocks = sync.Pool{New: func() any { return new(block) }}

func newBlock() []Message { return blocks.Get().(*block)[:0] }

// storeLocked stores a message behind the others, and returns its number.
func (b *outbox) storeLocked(m *Message) (number uint64) {
	if len(b.items) == cap(b.items) {
		b.growLocked()
	}
	b.items = append(b.items, *m)
	return b.base + uint64(len(b.items)) - 1
}

// growLocked makes room for one more message at least.
func (b *outbox) growLocked() {
	switch n := len(b.items); {
	case n == 0:
		if b.spare == nil {
			b.spare = new([smallSlice]Message)
		}
		b.items, b.spare = b.spare[:0], nil
	case b.head > n/2:
		left := copy(b.items, b.items[b.head:])
		clear(b.items[left:])
		b.items = b.items[:left]
		b.base += uint64(b.head)
		b.head = 0
	case n < behindUpdates:
		items := append(newBlock(), b.items...)
		clear(b.items)
		b.freeLocked(b.items)
		b.items = items
	default:
		b.items = append(b.items, Message{})[:n]
	}
}

// freeLocked gives back a slice that has been cleared.
func (b *outbox) freeLocked(items []Message) {
	switch c := cap(items); {
	case c == smallSlice && b.spare == nil:
		b.spare = (*[smallSlice]Message)(items[:c])
	case c == behindUpdates:
		blocks.Put((*block)(items[:c]))
	}
}
