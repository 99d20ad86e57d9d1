package session

import (
	"sync"
	"time"

	"rtdb/keyspace"
)

// A client has fallen behind when more than this waits in its outbox. From then on,
// until the outbox is empty, updates of the same key are conflated. A client that has
// fallen behind also lags; lag.go has the rest of that rule.
const (
	behindUpdates = 256
	behindBytes   = 64 << 10
)

// batchBytes is the smallest size of a batch while that much waits. A larger batch saves
// system calls; a smaller one notices the end of the session sooner.
const batchBytes = 32 << 10

// An outbox holds the messages that wait for the client, oldest first. Its
// methods lock it; no code outside this file does. Methods whose names end in
// Locked are in conflate.go, missed.go, batch.go and lag.go, too.
//
// Bytes that the client requested, replies and snapshots, are counted apart from
// bytes that are pushed to it: the client's reader waits while too much of the
// first waits; the second must not make anyone wait.
type outbox struct {
	// The first line of the cache holds the fields that each push uses. If two processors push in
	// turn, each must fetch every line that the other one has changed.
	mu      sync.Mutex
	awake   bool  // the session's actor has been woken, and will take
	corked  bool  // replies do not wake the actor
	updates int32 // items that are updates
	items   []Message
	offered uint64 // updates that came
	pushed  int64  // bytes of items that the client has not asked for

	// places has the number of each key's update after fence. It is nil while
	// the client keeps up.
	places map[string]uint64

	base      uint64 // the number of items[0], counting all messages that ever waited
	head      int32  // items[:head] were taken
	flushing  bool   // the Conn has something of its own to send
	replyHeld bool   // a reply waits for uncork
	throttles bool   // the reader waits for space

	requested int64                // bytes of the other items
	topics    int64                // bytes of pushed that belong to topics; they do not conflate
	fenced    int64                // bytes of pushed before fence; they do not conflate either
	spare     *[smallSlice]Message // kept for items
	inFlight  []Message            // taken, and not sent yet: the Conn has them

	delivered uint64 // updates that were sent
	conflated uint64 // updates that a newer one replaced
	missedAll uint64 // messages of topics that were dropped
	fence     uint64 // the number after the last reply: no update moves before it

	// missed counts the messages of each topic that were dropped since the last
	// one that was not. It is nil if none were. missedBytes estimates its memory.
	missed      map[string]uint64
	missedBytes int64

	// gaps has the number of each target's last notice of a gap, if no message of a topic
	// was added after it. It is nil without a gap.
	gaps map[keyspace.Target]uint64

	space chan struct{} // gets a token when there may be space; nil until the reader has waited
}

// push adds a message: at the end, or in the place of an older update of its key.
// It reports whether the actor must be woken, and whether the client is behind.
func (b *outbox) push(m *Message) (wake, behind bool) {
	b.mu.Lock()
	if m.update != nil {
		b.offered++
	}
	wake, behind = b.addLocked(m)
	b.mu.Unlock()
	return wake, behind
}

// pushUpdates is push for updates of keys that have together so many bytes of text. like is a
// message without its update. If the client keeps up, nothing has to be looked at for each update: with
// a look, 1000 keys to 50 sockets took 1.2 times the CPU (BenchmarkFanoutManyKeys).
func (b *outbox) pushUpdates(like Message, updates []*keyspace.Update, bytes int) (wake, behind bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(updates)
	b.offered += uint64(n)
	if b.places != nil || int(b.updates)+n > behindUpdates || b.pushed+int64(bytes) > behindBytes {
		for _, u := range updates {
			like.update = u
			woken, _ := b.addLocked(&like)
			wake = wake || woken
		}
		return wake, b.behindLocked()
	}
	b.reserveLocked(n)
	for _, u := range updates {
		like.update = u
		b.items = append(b.items, like)
	}
	b.updates += int32(n)
	b.pushed += int64(bytes)
	return b.wakeLocked(), false
}

// reject counts updates that came after the session had begun to end.
func (b *outbox) reject(updates int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.offered += uint64(updates)
}

func (b *outbox) addLocked(m *Message) (wake, behind bool) {
	if b.places == nil && !b.behindLocked() || !b.conflateLocked(m) {
		b.appendLocked(m)
	}
	if m.Reply && b.corked {
		b.replyHeld = true
	} else {
		wake = b.wakeLocked()
	}
	return wake, b.behindLocked()
}

// appendLocked adds a message at the end.
func (b *outbox) appendLocked(m *Message) {
	size := int64(len(m.Text()))
	b.storeLocked(m)
	switch {
	case m.update != nil:
		b.updates++
		if m.ofTopic() {
			b.topics += size
		} else if b.places != nil {
			b.places[m.update.Target.Name] = b.lastLocked()
		}
	case m.Reply:
		b.fence = b.lastLocked() + 1
		b.fenced = b.pushed
		clear(b.places)
	}
	b.countLocked(m, size)
}

// lastLocked returns the number of the last message.
func (b *outbox) lastLocked() uint64 { return b.base + uint64(len(b.items)) - 1 }

// countLocked adds to the bytes that wait.
func (b *outbox) countLocked(m *Message, bytes int64) {
	if m.requested {
		b.requested += bytes
	} else {
		b.pushed += bytes
	}
}

// wakeLocked reports whether the actor must be woken.
func (b *outbox) wakeLocked() (wake bool) {
	wake = !b.awake
	b.awake = true
	return wake
}

func (b *outbox) behindLocked() bool {
	return b.updates > behindUpdates || b.pushed > behindBytes
}

// flush asks for a batch even if nothing waits. It reports whether the actor must
// be woken.
func (b *outbox) flush() (wake bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flushing = true
	return b.wakeLocked()
}

// cork holds back replies from now on. It reports whether the actor must be woken
// for one that was held back before.
func (b *outbox) cork() (wake bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.corked = true
	wake = b.replyHeld && b.wakeLocked()
	b.replyHeld = false
	return wake
}

// uncork is the reverse of cork. It reports whether the actor must be run for a
// reply that was held back.
func (b *outbox) uncork() (run bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.corked = false
	run = b.replyHeld
	b.replyHeld = false
	b.awake = b.awake || run
	return run
}

// throttled returns nil or, if the reader must wait, a channel that signals space. The
// reader must wait in two cases. In the first, more than limit bytes of requested messages
// wait, and they outweigh the pushed ones: a client that can just keep up with its updates
// still gets replies. In the second, more than limit bytes of updates wait before a reply:
// those cannot be conflated, and every further reply adds to them.
func (b *outbox) throttled(limit int64) (space <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.throttles = b.requested > limit && b.requested > b.pushed || b.fenced > limit
	if !b.throttles {
		return nil
	}
	if b.space == nil {
		b.space = make(chan struct{}, 1)
	}
	return b.space
}

// signalSpace makes a reader that waits for space look again.
func (b *outbox) signalSpace() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.signalSpaceLocked()
}

func (b *outbox) signalSpaceLocked() {
	select {
	case b.space <- struct{}{}:
	default:
	}
}

// take returns the first messages, batchBytes of them at least if that much waits.
// more reports whether others wait; if none do, the next message wakes the actor.
// The messages are in flight until finish.
func (b *outbox) take() (t batch, more bool) {
	b.mu.Lock()
	t.flush, b.flushing = b.flushing, false
	if b.throttles {
		b.throttles = false
		b.signalSpaceLocked()
	}
	t.much = b.places != nil || b.requested+b.pushed > batchBytes
	if b.requested+b.pushed <= batchBytes && b.head == 0 {
		t.messages, t.updates = b.items, uint64(b.updates)
		b.inFlight = t.messages
		b.resetLocked()
		b.mu.Unlock()
		return t, false
	}
	t.messages, t.updates = b.cutLocked()
	b.inFlight = t.messages
	if more = int(b.head) < len(b.items); !more {
		b.freeLocked(b.items)
		b.resetLocked()
	}
	b.mu.Unlock()
	return t, more
}

// finish ends the flight of the messages that take returned, and counts the updates among
// them that were delivered.
func (b *outbox) finish(delivered uint64) {
	b.mu.Lock()
	messages := b.inFlight
	b.inFlight = nil
	b.delivered += delivered
	clear(messages)
	b.freeLocked(messages)
	b.mu.Unlock()
}

// stats returns the counts of a session that has ended: waiting updates were dropped.
func (b *outbox) stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.statsLocked(0)
}

func (b *outbox) statsLocked(waiting uint64) Stats {
	return Stats{
		Delivered: b.delivered, Conflated: b.conflated, Missed: b.missedAll,
		Dropped: b.offered - b.delivered - b.conflated - waiting,
	}
}

// updatesInFlight returns the number of updates that the Conn has and has not sent.
func (b *outbox) updatesInFlight() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.updatesInFlightLocked()
}

// status returns the counts of a session that may be open, and its lag.
func (b *outbox) status() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	lag := b.lagLocked()
	return Status{
		Stats:   b.statsLocked(uint64(b.updates) + b.updatesInFlightLocked()),
		Lag:     lag,
		Lagging: b.places != nil || b.behindLocked() || lag.Oldest > lagAge,
	}
}

// lag returns how far behind the client is, and whether that is due for a report. Only
// then it counts the pending keys. age is the age of the oldest update for which a report
// would be due, or 0 if no update waits.
func (b *outbox) lag() (lag Lag, due bool, age time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	lag = b.lagLocked()
	switch {
	case b.behindLocked() && b.updates > 0:
		age = behindAge
	case uint64(b.updates)+b.updatesInFlightLocked() > 0:
		age = lagAge
	default:
		return lag, false, 0
	}
	if due = lag.Oldest > lagAge || age == behindAge && lag.Oldest >= behindAge; due {
		lag.PendingKeys = b.pendingKeysLocked()
	}
	return lag, due, age
}

// pendingKeys returns the number of keys and topics of which an update waits.
func (b *outbox) pendingKeys() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pendingKeysLocked()
}
