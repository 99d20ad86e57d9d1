package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// confirmEvery is the number of writes that one reply confirms. The server handles
	// the requests of a connection in the order in which they were sent, so a reply
	// confirms all writes before it. More replies would cost the server time that has
	// nothing to do with deliveries.
	confirmEvery = 64

	// maxUnconfirmed limits the unconfirmed writes of a publisher if there is no rate.
	// It is the only limit for keys without subscribers.
	maxUnconfirmed = 4 * confirmEvery
)

// A publisher is a client that writes. Its keys are numbered by their index in keys.
//
// One goroutine at a time calls publish, readBack and deleteKeys, in this order.
// Another goroutine, the receiver, handles the replies.
type publisher struct {
	*connection
	run    *run
	keys   []int
	window *publisherWindow

	sequences []uint64 // of each key, the number of its last write
	writes    uint64   // of all keys
	windowed  uint64   // the writes that the windows count
	request   []byte   // buffer of set

	sent      atomic.Uint64 // like writes, for other goroutines
	confirmed atomic.Uint64 // writes that a reply has confirmed

	deletesKeys  atomic.Bool   // replies are now to deletes
	keysDeleted  chan struct{} // closed by the reply to the last delete
	keysRead     chan struct{} // closed by the reply to the last get of readBack
	receiverDone chan struct{} // closed when receive has ended

	violations    violations // the receiver's
	disconnectErr error      // the receiver's; not nil if the connection ended too early

	mu         sync.Mutex
	finals     []finalState // of each key, set by readBack and its replies
	unanswered int          // gets of readBack without a reply so far
}

func newPublisher(r *run, keys []int, window *publisherWindow) *publisher {
	return &publisher{
		run: r, keys: keys, window: window, sequences: make([]uint64, len(keys)),
		keysDeleted: make(chan struct{}), keysRead: make(chan struct{}), receiverDone: make(chan struct{}),
	}
}

// publish writes until the duration is over, ctx ends, or the connection ends.
func (p *publisher) publish(ctx context.Context) {
	if len(p.keys) == 0 {
		return
	}
	if p.run.windows == nil {
		p.publishByRate(ctx)
	} else {
		p.publishByWindow(ctx)
	}
}

// publishByRate writes each key in turn when its write is due. A publisher that is late
// writes at once, and the time at which the write was due stays the same.
func (p *publisher) publishByRate(ctx context.Context) {
	r := p.run
	end := r.writeStart + r.options.Duration.Nanoseconds()
	timer := newTimer()
	defer timer.close()
	stop := context.AfterFunc(ctx, timer.close)
	defer stop()
	for round := 0; ; round++ {
		for i, key := range p.keys {
			due := r.writeStart + int64(float64(round*r.plan.keys+key)/r.options.Rate*1e9)
			if due >= end {
				timer.wait(time.Duration(end - r.now()))
				return
			}
			if wait := due - r.now(); wait > 0 {
				timer.wait(time.Duration(wait))
			}
			if ctx.Err() != nil || p.set(i, due) != nil {
				return
			}
		}
	}
}

// publishByWindow writes each key in turn as soon as its window is open.
func (p *publisher) publishByWindow(ctx context.Context) {
	r := p.run
	for {
		for i, key := range p.keys {
			w := r.windows[key]
			for p.writes-p.confirmed.Load() >= maxUnconfirmed || !w.isOpen(p.windowed) {
				select {
				case <-p.window.wake:
				case <-ctx.Done():
				case <-p.receiverDone:
				}
				if ctx.Err() != nil || p.disconnected() {
					return
				}
			}
			if ctx.Err() != nil {
				return
			}
			w.written.Store(p.sequences[i] + 1)
			if w.fanout > 0 {
				p.windowed++
			}
			if p.set(i, r.now()) != nil {
				return
			}
		}
	}
}

func (p *publisher) disconnected() bool {
	select {
	case <-p.receiverDone:
		return true
	default:
		return false
	}
}

// set writes the ith key. Every confirmEvery-th request has an id, so the server
// replies to it; the id is the number of writes so far.
func (p *publisher) set(i int, due int64) error {
	p.sequences[i]++
	p.writes++
	m := append(p.request[:0], `{"action":"set","key":"`...)
	m = append(m, p.run.plan.prefix...)
	m = strconv.AppendInt(m, int64(p.keys[i]), 10)
	m = append(m, `","value":`...)
	m = p.run.codec.appendValue(m, due, p.sequences[i])
	if p.writes%confirmEvery == 0 {
		m = append(m, `,"id":`...)
		m = strconv.AppendUint(m, p.writes, 10)
	}
	p.request = append(m, '}')
	err := p.write(p.request)
	if err == nil {
		p.sent.Store(p.writes)
	}
	return err
}

// receive handles replies until the connection ends.
func (p *publisher) receive() {
	defer close(p.receiverDone)
	for {
		message, err := p.read()
		if err != nil {
			if !p.run.closing.Load() {
				p.disconnectErr = err
				p.run.publisherDisconnected()
			}
			return
		}
		var r reply
		if err := json.Unmarshal(message, &r); err != nil {
			p.violations.add("a publisher received a message that is not a reply: %.200q", message)
			continue
		}
		p.handleReply(r, message)
	}
}

func (p *publisher) handleReply(r reply, message []byte) {
	switch {
	case r.Error != nil && p.deletesKeys.Load():
		if r.ID != nil {
			close(p.keysDeleted)
		}
	case r.Error != nil:
		p.run.fail(fmt.Errorf("the server refused a write: %w (check the token's grants and the server's limits)", *r.Error))
	case r.ID == nil && r.Action != "": // a notice, for example that the token expires soon
	case r.ID == nil || !r.OK:
		p.violations.add("a publisher received an unexpected reply: %.200q", message)
	case p.deletesKeys.Load():
		close(p.keysDeleted)
	case r.Key != "":
		p.handleFinal(*r.ID, r)
	default:
		p.confirmed.Store(*r.ID)
		p.window.notify()
	}
}

// deleteKeys deletes the keys that were written. It reports whether the server has
// answered the last delete.
func (p *publisher) deleteKeys() bool {
	last := -1
	for i := range p.keys {
		if p.sequences[i] > 0 {
			last = i
		}
	}
	if last < 0 {
		return true
	}
	p.deletesKeys.Store(true)
	for i := range last + 1 {
		request := map[string]any{"action": "delete", "key": p.run.plan.keyName(p.keys[i])}
		if i == last {
			request["id"] = i
		}
		if p.writeJSON(request) != nil {
			return false
		}
	}
	return p.await(p.keysDeleted)
}

// await waits until replied is closed, for at most Options.Patience. It reports whether
// that has happened.
func (p *publisher) await(replied <-chan struct{}) bool {
	timeout := time.NewTimer(p.run.options.Patience)
	defer timeout.Stop()
	select {
	case <-replied:
		return true
	case <-p.receiverDone:
	case <-timeout.C:
	}
	return false
}

// addTo adds the violations and the disconnection to the report. The receiver must have
// ended.
func (p *publisher) addTo(report *Report) {
	report.addViolations(p.violations)
	if p.disconnectErr != nil {
		report.addDisconnect(p.disconnectErr)
	}
}
