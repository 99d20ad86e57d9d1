package session

import (
	"slices"
	"sync"
	"time"
)

// A batch holds the messages that the outbox hands over at once.
type batch struct {
	messages []Message
	updates  uint64 // messages that are updates
	flush    bool   // the Conn has something of its own to send
	much     bool   // waits or was conflated besides the messages
}

// span returns the time between the first and the last update of the batch. If the batch has not
// all updates of the wait, because some were conflated or do not fit, span returns a long time.
func (t *batch) span() time.Duration {
	if t.much {
		return time.Hour
	}
	isUpdate := func(m Message) bool { return m.update != nil }
	first := slices.IndexFunc(t.messages, isUpdate)
	if first < 0 {
		return 0
	}
	last := len(t.messages) - 1
	for t.messages[last].update == nil {
		last--
	}
	return t.messages[last].update.At.Sub(t.messages[first].update.At)
}

// Slices of messages have three sizes. A session keeps one small slice; blocks are
// shared by all sessions; longer slices are for clients that are behind. Without the small
// ones a delivery takes 4% longer (BenchmarkFanoutOneKey/window=1).
const smallSlice = 2

type block [behindUpdates]Message

var blocks = sync.Pool{New: func() any { return new(block) }}

func newBlock() []Message { return blocks.Get().(*block)[:0] }

// storeLocked stores a message behind the others.
func (b *outbox) storeLocked(m *Message) {
	if len(b.items) == cap(b.items) {
		b.growLocked(1)
	}
	b.items = append(b.items, *m)
}

// reserveLocked makes room for more messages.
func (b *outbox) reserveLocked(more int) {
	for cap(b.items)-len(b.items) < more {
		b.growLocked(more)
	}
}

// growLocked makes room for one more message at least, and for more of them if it can.
func (b *outbox) growLocked(more int) {
	switch n := len(b.items); {
	case n == 0 && more <= smallSlice:
		if b.spare == nil {
			b.spare = new([smallSlice]Message)
		}
		b.items, b.spare = b.spare[:0], nil
	case int(b.head) > n/2:
		left := copy(b.items, b.items[b.head:])
		clear(b.items[left:])
		b.items = b.items[:left]
		b.base += uint64(b.head)
		b.head = 0
	case n+more <= behindUpdates:
		items := append(newBlock(), b.items...)
		clear(b.items)
		b.freeLocked(b.items)
		b.items = items
	default:
		b.items = slices.Grow(b.items, more)
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

// cutLocked moves messages from the head to a slice of their own.
func (b *outbox) cutLocked() (messages []Message, updates uint64) {
	messages = newBlock()
	for size := 0; int(b.head) < len(b.items) && size < batchBytes; b.head++ {
		m := &b.items[b.head]
		n := int64(len(m.Text()))
		number := b.base + uint64(b.head)
		b.countLocked(m, -n)
		if !m.requested && number < b.fence {
			b.fenced -= n
		}
		if m.update != nil {
			b.updates--
			updates++
			if m.ofTopic() {
				b.topics -= n
			} else if key := m.update.Target.Name; b.places != nil && b.places[key] == number {
				delete(b.places, key)
			}
		}
		messages = append(messages, *m)
		*m = Message{}
		size += int(n)
	}
	return messages, updates
}

// drop drops all messages that wait.
func (b *outbox) drop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.items)
	b.freeLocked(b.items)
	b.resetLocked()
}

// resetLocked notes that nothing waits.
func (b *outbox) resetLocked() {
	b.base += uint64(len(b.items))
	b.items, b.head = nil, 0
	b.updates, b.requested, b.pushed, b.topics, b.fenced = 0, 0, 0, 0, 0
	b.places, b.gaps = nil, nil
	b.awake, b.replyHeld = false, false
}
