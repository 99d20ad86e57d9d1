package session

import (
	"sync"
	"time"

	"rtdb/keyspace"
)

// A Message is one text for the client.
type Message struct {
	Text []byte // shared with others: not to be changed

	// Revision is one to resume from for who has got this update and all
	// before it. It is 0 where the session was not asked for it, and for
	// the updates of a snapshot.
	Revision uint64

	// Answer says that it is an answer of the transport's own making, and
	// not what the client is told of a key or a topic.
	Answer bool

	asked  bool             // for by the client, as answers and snapshots are
	update *keyspace.Update // what it says; nil for all but updates
	since  time.Duration    // when the first that this stands for was written, after epoch
}

// epoch is what a Message's time counts from: that is smaller than a
// [time.Time], and a clock that is set does not move it.
var epoch = time.Now()

// Age is how long ago the first that an update stands for was written. It is not
// ok for what is no update.
func (m *Message) Age() (age time.Duration, ok bool) {
	if m.update == nil {
		return 0, false
	}
	return time.Since(epoch) - m.since, true
}

// conflates reports whether the message may give way to a newer one.
func (m *Message) conflates() bool { return m.update != nil && m.update.Topic == "" }

// A client has fallen behind when more than this waits for it at once. From then
// on, until nothing waits any more, only the newest update of each key is kept.
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
	items   []Message
	spare   []Message // an empty slice, small enough to be kept
	head    int       // items before it were taken
	base    uint64    // the number of items[0], counting all that ever waited
	updates int       // of items: how many are updates
	asked   int64     // bytes, of items that the client asked for
	told    int64     // bytes, of the others
	topics  int64     // bytes, of those the topics', which do not conflate
	frozen  int64     // bytes, of told those before marked, which do not either
	marked  uint64    // the number behind the last answer: no update goes before it

	// places are the numbers of the keys' updates from marked on, one for
	// each key. It is nil while the client keeps up.
	places map[string]uint64

	// missed are the messages of each topic that were dropped since its
	// last one. It is nil where none were.
	missed map[string]uint64

	offered   uint64 // updates that came
	inHand    uint64 // updates that the Conn has, and has not sent
	delivered uint64 // updates that were sent
	merged    uint64 // updates that gave way to a newer one
	skipped   uint64 // messages of topics that were dropped

	flush  bool // the Conn has something of its own to send
	awake  bool // the session's actor has been woken, and will look
	corked bool // answers do not wake it
	owed   bool // an answer waits that has not
	wanted bool // somebody waits for room

	room chan struct{} // gets a token when there may be some; nil until somebody has waited
}

// addLocked puts a message at the end, or in the place of an older update of
// its key.
func (b *outbox) addLocked(m *Message) {
	size := int64(len(m.Text))
	if m.conflates() && (b.places != nil || b.behindLocked()) && b.mergeLocked(m) {
		return
	}
	number := b.appendLocked(m)
	switch {
	case m.update != nil:
		b.updates++
		if m.update.Topic != "" {
			b.topics += size
		} else if b.places != nil {
			b.places[m.update.Key] = number
		}
	case m.Answer:
		b.marked = number + 1
		b.frozen = b.told
		clear(b.places)
	}
	b.countLocked(m, size)
}

// wakeLocked reports whether the actor must be woken.
func (b *outbox) wakeLocked() (wake bool) {
	wake = !b.awake
	b.awake = true
	return wake
}

// mergeLocked puts an update in the place of the one of its key that waits, if
// one does. The revision of that one stays: what waits behind it may be older
// than the one that comes. And so does its time, which is the client's lag.
func (b *outbox) mergeLocked(m *Message) bool {
	if b.places == nil {
		b.placeAllLocked()
	}
	number, ok := b.places[m.update.Key]
	if ok {
		b.replaceLocked(&b.items[number-b.base], m)
	}
	return ok
}

// placeAllLocked begins to conflate: of what waits one by one it keeps the newest
// of each key, at the place of the first.
func (b *outbox) placeAllLocked() {
	b.places = make(map[string]uint64)
	first := int(max(b.marked, b.base+uint64(b.head)) - b.base)
	kept := first
	for i := first; i < len(b.items); i++ {
		m := &b.items[i]
		if m.conflates() {
			if number, ok := b.places[m.update.Key]; ok {
				b.replaceLocked(&b.items[number-b.base], m)
				b.updates--
				b.countLocked(m, -int64(len(m.Text)))
				continue
			}
			b.places[m.update.Key] = b.base + uint64(kept)
		}
		b.items[kept] = *m
		kept++
	}
	clear(b.items[kept:])
	b.items = b.items[:kept]
}

// replaceLocked puts a newer update in the place of one that waits.
func (b *outbox) replaceLocked(old, m *Message) {
	grown := int64(len(m.Text) - len(old.Text))
	b.countLocked(old, grown)
	old.Text, old.update = m.Text, m.update
	b.merged++
}

// countLocked adds bytes to those that wait of the message's kind.
func (b *outbox) countLocked(m *Message, bytes int64) {
	if m.asked {
		b.asked += bytes
	} else {
		b.told += bytes
	}
}

// dropLocked reports whether a message of a topic is one too many, and notes it
// then. One that nothing of a topic waits before may be of any length.
func (b *outbox) dropLocked(m *Message, limit int64) bool {
	if b.topics == 0 || b.topics+int64(len(m.Text)) <= limit {
		return false
	}
	if b.missed == nil {
		b.missed = make(map[string]uint64)
	}
	b.missed[m.update.Topic]++
	b.skipped++
	return true
}

// takeMissedLocked returns how many messages of a topic were dropped since the
// one before.
func (b *outbox) takeMissedLocked(topic string) uint64 {
	n := b.missed[topic]
	if n > 0 {
		delete(b.missed, topic)
		if len(b.missed) == 0 {
			b.missed = nil
		}
	}
	return n
}

func (b *outbox) appendLocked(m *Message) (number uint64) {
	if len(b.items) == cap(b.items) {
		b.growLocked()
	}
	b.items = append(b.items, *m)
	return b.base + uint64(len(b.items)) - 1
}

// Slices of messages are of three sizes: a session keeps two small ones, those
// of a block are shared by all, and what is longer is for clients that are
// behind.
const smallSlice = 2

type block [behindUpdates]Message

var blocks = sync.Pool{New: func() any { return new(block) }}

// growLocked makes room for a message at least.
func (b *outbox) growLocked() {
	switch n := len(b.items); {
	case n == 0 && b.spare != nil:
		b.items, b.spare = b.spare, nil
	case n == 0:
		b.items = make([]Message, 0, smallSlice)
	case b.head > n/2:
		left := copy(b.items, b.items[b.head:])
		clear(b.items[left:])
		b.items = b.items[:left]
		b.base += uint64(b.head)
		b.head = 0
	case n < behindUpdates:
		items := append(blocks.Get().(*block)[:0], b.items...)
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
		b.spare = items[:0]
	case c == behindUpdates:
		blocks.Put((*block)(items[:c]))
	}
}

// A load is what the outbox hands over at once.
type load struct {
	messages []Message
	updates  uint64 // of the messages: how many are updates
	flush    bool   // the Conn has something of its own to send
	wanted   bool   // somebody waits for the room that there is now
}

// take returns the first messages, chunkBytes of them at least where that much
// waits. more says whether others wait; where none do the next one wakes the
// actor. The messages are given back by done.
func (b *outbox) take() (l load, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l.flush, b.flush = b.flush, false
	l.wanted, b.wanted = b.wanted, false
	if b.asked+b.told <= chunkBytes && b.head == 0 {
		l.messages, l.updates = b.items, uint64(b.updates)
		b.emptyLocked()
		b.inHand += l.updates
		return l, false
	}
	l.messages, l.updates = b.cutLocked()
	b.inHand += l.updates
	if more = b.head < len(b.items); !more {
		b.freeLocked(b.items)
		b.emptyLocked()
	}
	return l, more
}

// cutLocked moves messages from the head to a slice of their own.
func (b *outbox) cutLocked() (chunk []Message, updates uint64) {
	chunk = blocks.Get().(*block)[:0]
	for size := 0; b.head < len(b.items) && size < chunkBytes; b.head++ {
		m := &b.items[b.head]
		n := int64(len(m.Text))
		number := b.base + uint64(b.head)
		if m.asked {
			b.asked -= n
		} else {
			b.told -= n
			if number < b.marked {
				b.frozen -= n
			}
		}
		if m.update != nil {
			b.updates--
			updates++
			if m.update.Topic != "" {
				b.topics -= n
			} else if b.places != nil && b.places[m.update.Key] == number {
				delete(b.places, m.update.Key)
			}
		}
		chunk = append(chunk, *m)
		*m = Message{}
		size += int(n)
	}
	return chunk, updates
}

// emptyLocked is for when all was taken.
func (b *outbox) emptyLocked() {
	b.base += uint64(len(b.items))
	b.items, b.head = nil, 0
	b.updates, b.asked, b.told, b.topics, b.frozen = 0, 0, 0, 0, 0
	b.places = nil
	b.awake, b.owed = false, false
}

// done gives back what take returned, after so many updates were sent, and so
// many dropped.
func (b *outbox) done(chunk []Message, delivered, dropped uint64) {
	clear(chunk)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.delivered += delivered
	b.inHand -= delivered + dropped
	b.freeLocked(chunk)
}

// lagLocked is how long ago the first update that waits was written.
func (b *outbox) lagLocked() time.Duration {
	for i := b.head; i < len(b.items); i++ {
		if m := &b.items[i]; m.update != nil {
			return time.Since(epoch) - m.since
		}
	}
	return 0
}

func (b *outbox) behindLocked() bool {
	return b.updates > behindUpdates || b.told > behindBytes
}

// throttled returns nil, or where so much waits that what the client asks for must
// wait what to wait for. That is more than limit of what it asked for, and more than of what it is told;
// the second lets it have its answers also where updates come as fast as it
// reads. Or more than limit of updates that stand before an answer, which
// no newer ones may take the place of: every answer makes more of those. The
// next load then says that somebody waits.
func (b *outbox) throttled(limit int64) (room <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wanted = b.asked > limit && b.asked > b.told || b.frozen > limit
	if !b.wanted {
		return nil
	}
	if b.room == nil {
		b.room = make(chan struct{}, 1)
	}
	return b.room
}
