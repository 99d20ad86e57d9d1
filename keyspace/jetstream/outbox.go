package jetstream

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// An outbox publishes the first attempts of commits. While few are in flight, it publishes
// each at once. Otherwise they gather, and are published as atomic batches of JetStream
// (ADR-50): three servers store the messages of batches of 100 at 1.2 to 1.75 times the rate
// of single ones (BenchmarkBatches). Small batches are slower than single messages.
//
// If the stream refuses a batch, because of the condition of one of its messages, nothing of
// it is stored. Then each of its commits goes on alone, as after any refusal. So batches
// become smaller then.
type outbox struct {
	store *Store

	mu      sync.Mutex
	waiting []*proposal // the oldest first
	parcels map[uint64]*parcel
	last    uint64 // the number of the newest parcel
	size    int    // of the largest batch, less minBatch

	// In flight:
	messages, batches int
}

// A parcel is the messages that were published together.
type parcel struct {
	number    uint64
	proposals []uint64 // their numbers, in the order of the messages
	undecided int      // proposals that have not left
}

const (
	maxMessages = 64 // in flight if a single message is published
	maxBatches  = 4  // in flight; the stream takes 50 from all nodes
	minBatch    = 32
	maxBatch    = 256
)

// parcelToken is the first token of the subject of a parcel's answer, after the prefix. In
// that of a proposal it is a number.
const parcelToken = "p"

// send publishes the message of a proposal, now or later. The answer comes as that of the
// proposal's attempt 0. leave must follow.
func (o *outbox) send(p *proposal) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting = append(o.waiting, p)
	o.flushLocked()
}

// leave takes a proposal out of the outbox, so that its message may change. It reports
// whether the message was never published. If the proposal has got no answer, its parcel does
// not count as in flight from now on.
func (o *outbox) leave(p *proposal, answered bool) (unsent bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if p.parcel == nil {
		i := slices.Index(o.waiting, p)
		if i >= 0 {
			o.waiting = slices.Delete(o.waiting, i, i+1)
		}
		return i >= 0
	}
	if p.parcel.undecided--; p.parcel.undecided == 0 || !answered {
		o.removeLocked(p.parcel)
		o.flushLocked()
	}
	p.parcel = nil
	return false
}

// flushLocked publishes the proposals that wait, unless too much is in flight.
func (o *outbox) flushLocked() {
	for len(o.waiting) > 0 {
		n := len(o.waiting)
		switch {
		case n >= minBatch && o.batches < maxBatches:
			n = min(n, minBatch+o.size)
		case o.messages < maxMessages:
			n = 1
		default:
			return
		}
		o.publishLocked(o.waiting[:n])
		o.waiting = slices.Delete(o.waiting, 0, n)
	}
}

// addLocked and removeLocked count the messages and batches in flight.
func (o *outbox) addLocked(x *parcel) {
	if o.parcels == nil {
		o.parcels = map[uint64]*parcel{}
	}
	o.parcels[x.number] = x
	o.messages += len(x.proposals)
	if len(x.proposals) > 1 {
		o.batches++
	}
}

func (o *outbox) removeLocked(x *parcel) {
	if o.parcels[x.number] == nil {
		return
	}
	delete(o.parcels, x.number)
	o.messages -= len(x.proposals)
	if len(x.proposals) > 1 {
		o.batches--
	}
}

// publishLocked publishes a parcel.
func (o *outbox) publishLocked(proposals []*proposal) {
	o.last++
	x := &parcel{number: o.last, undecided: len(proposals), proposals: make([]uint64, len(proposals))}
	o.addLocked(x)
	id := strconv.FormatUint(x.number, 10)
	var err error
	for i, p := range proposals {
		p.parcel, x.proposals[i] = x, p.number
		m := p.message
		if len(proposals) > 1 {
			m.setBatch(o.store.process.String()+"-"+id, i+1, i == len(proposals)-1)
		}
		if i == len(proposals)-1 {
			m.Reply = o.store.proposals.prefix + "." + parcelToken + "." + id
		}
		if err == nil {
			err = o.store.conn.PublishMsg(&m.Msg)
		}
	}
	if err == nil {
		return
	}
	// The last message was not published, so nothing of the parcel is stored.
	o.removeLocked(x)
	for _, p := range proposals {
		p.answers <- answer{err: err} // it is the first answer, so there is space
	}
}

// answered receives the stream's answer to a parcel.
func (o *outbox) answered(number uint64, m *nats.Msg) {
	a := parseAnswer(m)
	o.mu.Lock()
	x := o.parcels[number]
	if x == nil {
		o.mu.Unlock()
		return // its proposals are settled without the answer
	}
	o.removeLocked(x)
	switch isBatch := len(x.proposals) > 1; {
	case isBatch && a.sequence != 0:
		o.size = min(o.size+minBatch, maxBatch-minBatch)
	case isBatch:
		o.size /= 2
	}
	o.flushLocked()
	o.mu.Unlock()
	n := len(x.proposals)
	if n > 1 && a.err != nil {
		// The reason is that of one message, and does not refuse the others.
		a.err = fmt.Errorf("%w: the stream refuses a batch of %d: %v", errTemporary, n, a.err)
	}
	for i, p := range x.proposals {
		each := a
		if a.sequence != 0 {
			each.sequence = a.sequence - uint64(n-1-i)
		}
		o.store.proposals.deliver(p, each)
	}
}

// answered receives the stream's answer to a parcel or to an attempt of a proposal.
func (s *Store) answered(m *nats.Msg) {
	first, second, _ := strings.Cut(m.Subject[len(s.proposals.prefix)+len("."):], ".")
	if first != parcelToken {
		s.proposals.answered(m, first, second)
	} else if number, err := strconv.ParseUint(second, 10, 64); err == nil {
		s.outbox.answered(number, m)
	}
}
