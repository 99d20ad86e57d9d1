package session

import (
	"sync"
	"time"
)

// A Message is one text for the client.
type Message struct {
	Text []byte // shared with others: not to be changed

	// Update says that it is an update, and not an answer of the transport's
	// own making.
	Update bool

	// Revision is one to resume from for who has got this update and all
	// before it. It is 0 where the session was not asked for it, and for
	// the updates of a snapshot.
	Revision uint64
}

// A client has fallen behind when more than this waits for it at once. Then of
// each key only the newest update is kept.
const (
	behindUpdates = 256
	behindBytes   = 64 << 10
)

// chunkBytes is how much is handed to the Conn at once, at least, when that
// much waits: large enough that a system call costs little for each byte,
// small enough to look now and then whether the session has ended.
const chunkBytes = 32 << 10

// An outbox is what waits for the client, oldest first. What the client asked
// for, replies and snapshots, is counted apart from what it is told: the first
// must wait for room where too much waits, and the second cannot.
type outbox struct {
	mu      sync.Mutex
	items   []item
	head    int    // items before it were taken
	base    uint64 // the number of items[0], counting all that ever waited
	updates int    // of items: how many are updates
	asked   int64  // bytes, of items that the client asked for
	told    int64  // bytes, of the others
	topics  int64  // bytes, of those the topics', which do not conflate
	frozen  int64  // bytes, of told those before marked, which do not either
	merged  uint64 // updates that gave way to a newer one
	marked  uint64 // the number behind the last answer: no update goes before it

	// places are the numbers of the keys' updates from marked on. It is
	// nil while the client keeps up.
	places map[string]uint64

	flush bool // the Conn has something of its own to send
	awake bool // the session's actor has been woken, and has not seen it empty since

	// One that waits, to know how long that takes.
	sample   uint64
	sampleAt time.Time     // zero where nothing waits
	waited   time.Duration // by the one before
}

type item struct {
	message Message
	name    string // of the update's key or topic
	topic   bool
	asked   bool
}

// conflates reports whether the item may give way to a newer one.
func (x *item) conflates() bool { return x.message.Update && !x.topic }

// addLocked puts an item at the end, or in the place of an older update of its key,
// and reports whether the actor must be woken.
func (b *outbox) addLocked(x item) (wake bool) {
	size := int64(len(x.message.Text))
	if x.conflates() && b.behindLocked() && b.mergeLocked(x) {
		return false
	}
	number := b.appendLocked(x)
	if x.message.Update {
		b.updates++
		if b.places != nil && x.conflates() {
			b.places[x.name] = number
		}
	} else {
		b.marked = number + 1
		b.frozen = b.told
		clear(b.places)
	}
	if x.asked {
		b.asked += size
	} else {
		b.told += size
	}
	if x.topic {
		b.topics += size
	}
	if b.sampleAt.IsZero() {
		b.sample, b.sampleAt = number, time.Now()
	}
	wake = !b.awake
	b.awake = true
	return wake
}

// mergeLocked puts an update in the place of the one of its key that waits, if
// one does. The revision of that one stays: what waits behind it may be older
// than the one that comes.
func (b *outbox) mergeLocked(x item) bool {
	if b.places == nil {
		b.places = make(map[string]uint64)
		for i := max(b.marked, b.base+uint64(b.head)); i < b.base+uint64(len(b.items)); i++ {
			if old := &b.items[i-b.base]; old.conflates() {
				b.places[old.name] = i
			}
		}
	}
	number, ok := b.places[x.name]
	if !ok {
		return false
	}
	old := &b.items[number-b.base]
	grown := int64(len(x.message.Text) - len(old.message.Text))
	if old.asked {
		b.asked += grown
	} else {
		b.told += grown
	}
	old.message.Text = x.message.Text
	b.merged++
	return true
}

func (b *outbox) appendLocked(x item) (number uint64) {
	if len(b.items) == cap(b.items) && b.head > len(b.items)/2 {
		n := copy(b.items, b.items[b.head:])
		clear(b.items[n:])
		b.items = b.items[:n]
		b.base += uint64(b.head)
		b.head = 0
	}
	b.items = append(b.items, x)
	return b.base + uint64(len(b.items)) - 1
}

// take moves the first messages to chunk, up to chunkBytes. It reports false
// where nothing waits, and no flush either: then the actor may rest.
func (b *outbox) take(chunk []Message) (_ []Message, updates uint64, some bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	size := 0
	for b.head < len(b.items) && size < chunkBytes {
		x := &b.items[b.head]
		n := len(x.message.Text)
		if x.asked {
			b.asked -= int64(n)
		} else {
			b.told -= int64(n)
			if b.base+uint64(b.head) < b.marked {
				b.frozen -= int64(n)
			}
		}
		if x.topic {
			b.topics -= int64(n)
		}
		if x.message.Update {
			b.updates--
			updates++
			if number := b.base + uint64(b.head); x.conflates() && b.places != nil && b.places[x.name] == number {
				delete(b.places, x.name)
			}
		}
		chunk = append(chunk, x.message)
		*x = item{}
		b.head++
		size += n
	}
	if size > 0 {
		b.agedLocked()
	}
	if b.head == len(b.items) {
		b.emptyLocked()
	}
	some = len(chunk) > 0 || b.flush
	b.flush = false
	b.awake = some
	return chunk, updates, some
}

// agedLocked finds another sample where the one before was taken.
func (b *outbox) agedLocked() {
	first := b.base + uint64(b.head)
	switch {
	case b.sample >= first:
	case b.head == len(b.items):
		b.sampleAt, b.waited = time.Time{}, 0
	default:
		now := time.Now()
		b.waited = now.Sub(b.sampleAt)
		b.sample, b.sampleAt = b.base+uint64(len(b.items))-1, now
	}
}

// emptyLocked gives up what an outbox that is not in use need not hold.
func (b *outbox) emptyLocked() {
	const small = 4
	b.base += uint64(len(b.items))
	b.head = 0
	if cap(b.items) > small {
		b.items = nil
	}
	b.items = b.items[:0]
	b.places = nil
}

func (b *outbox) behindLocked() bool {
	return b.updates > behindUpdates || b.told > behindBytes
}

// throttled reports whether so much waits that what the client asks for must
// wait: more than limit of what it asked for, and more than of what it is told;
// the second lets it have its answers also where updates come as fast as it
// reads. Or more than limit of updates that stand before an answer, which
// no newer ones may take the place of: every answer makes more of those.
func (b *outbox) throttled(limit int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked > limit && b.asked > b.told || b.frozen > limit
}
