package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// markEvery is how many writes one reply confirms: requests take effect
	// in the order sent. A reply for each would be work for the server that
	// is not asked for.
	markEvery = 64

	// maxUnconfirmed bounds the writes without a rate, also of keys that
	// nobody subscribes to.
	maxUnconfirmed = 4 * markEvery
)

// errInterrupted is why a run ends early that was told to.
var errInterrupted = errors.New("interrupted")

// A publisher is a client that writes.
type publisher struct {
	*link
	bench *bench
	keys  []int
	flow  *publisherFlow

	written   []uint64 // writes of each of its keys
	begun     uint64   // of them all
	awaited   uint64   // of the keys that windows wait for
	confirmed atomic.Uint64
	sent      atomic.Uint64 // begun, for others to see

	pending []byte // the message in the making

	deleting atomic.Bool
	answered chan struct{} // closed with the reply to the last of finish's questions
	deleted  chan struct{} // closed with the reply to the last delete
	ended    chan struct{} // closed when nothing more is read
	gone     error         // why the connection ended before it should
	wrong    int64
	because  string

	mu    sync.Mutex
	found []final // what its keys hold, as far as it is known
	asked int     // questions of finish that are not answered yet
}

// publish writes until ctx ends or the connection does.
func (p *publisher) publish(ctx context.Context) {
	if len(p.keys) == 0 {
		return
	}
	if p.bench.windows == nil {
		p.publishByRate(ctx)
	} else {
		p.publishByWindow(ctx)
	}
}

// publishByRate writes what is due. Where it is late it does not wait, and what
// is due stays due when it was.
func (p *publisher) publishByRate(ctx context.Context) {
	b := p.bench
	end := b.began + b.options.Duration.Nanoseconds()
	timer := newTimer()
	defer timer.close()
	stop := context.AfterFunc(ctx, timer.close)
	defer stop()
	for round := 0; ; round++ {
		for i, key := range p.keys {
			due := b.began + int64(float64(round*b.plan.keys+key)/b.options.Rate*1e9)
			if due >= end {
				timer.wait(time.Duration(end - b.now()))
				return
			}
			if wait := due - b.now(); wait > 0 {
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
	b := p.bench
	for {
		for i, key := range p.keys {
			w := b.windows[key]
			for p.begun-p.confirmed.Load() >= maxUnconfirmed || !w.open(p.awaited) {
				select {
				case <-p.flow.wake:
				case <-ctx.Done():
				case <-p.ended:
				}
				if ctx.Err() != nil || p.isOver() {
					return
				}
			}
			if ctx.Err() != nil {
				return
			}
			w.written.Store(p.written[i] + 1)
			if w.fanout > 0 {
				p.awaited++
			}
			if p.set(i, b.now()) != nil {
				return
			}
		}
	}
}

func (p *publisher) isOver() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// set writes the ith of its keys.
func (p *publisher) set(i int, due int64) error {
	p.written[i]++
	p.begun++
	m := append(p.pending[:0], `{"action":"set","key":"`...)
	m = append(m, p.bench.plan.prefix...)
	m = strconv.AppendInt(m, int64(p.keys[i]), 10)
	m = append(m, `","value":`...)
	m = p.bench.form.appendValue(m, due, p.written[i])
	if p.begun%markEvery == 0 {
		m = append(m, `,"id":`...)
		m = strconv.AppendUint(m, p.begun, 10)
	}
	p.pending = append(m, '}')
	err := p.write(p.pending)
	if err == nil {
		p.sent.Store(p.begun)
	}
	return err
}

// receive reads replies until the connection ends.
func (p *publisher) receive() {
	defer close(p.ended)
	for {
		message, err := p.read()
		if err != nil {
			if !p.bench.closing.Load() {
				p.gone = err
				p.bench.lostPublisher()
			}
			return
		}
		var r reply
		if err := json.Unmarshal(message, &r); err != nil {
			p.complain("a publisher got %.200q", message)
			continue
		}
		p.take(r, message)
	}
}

func (p *publisher) take(r reply, message []byte) {
	switch {
	case r.Error != nil && p.deleting.Load():
		if r.ID != nil {
			close(p.deleted)
		}
	case r.Error != nil:
		p.bench.fail(fmt.Errorf("the server refused a write: %w", *r.Error))
	case r.ID == nil && r.Action != "": // a token about to expire
	case r.ID == nil || !r.OK:
		p.complain("a publisher got %.200q", message)
	case p.deleting.Load():
		close(p.deleted)
	case r.Key != "":
		p.takeFinal(*r.ID, r)
	default:
		p.confirmed.Store(*r.ID)
		p.flow.rouse()
	}
}

func (p *publisher) complain(format string, args ...any) {
	if p.wrong++; p.wrong == 1 {
		p.because = fmt.Sprintf(format, args...)
	}
}

// takeFinal notes what one of its keys holds. The id is its place among them.
func (p *publisher) takeFinal(id uint64, r reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var value string
	if id >= uint64(len(p.found)) || json.Unmarshal(r.Value, &value) != nil {
		p.complain("a publisher got %.200q of %q", r.Value, r.Key)
		return
	}
	f := &p.found[id]
	if number, ok := p.bench.form.number(value); !ok || number != f.number {
		p.complain("the server holds write %d of key %d, and the last was %d", number, p.keys[id], f.number)
	}
	f.version, f.unknown = r.Version, false
	if p.asked--; p.asked == 0 {
		close(p.answered)
	}
}

// finish asks what its keys hold, and waits for the answers.
func (p *publisher) finish() {
	var questions []int
	p.mu.Lock()
	p.found = make([]final, len(p.keys))
	for i, number := range p.written {
		if number > 0 {
			p.found[i] = final{number: number, unknown: true}
			questions = append(questions, i)
		}
	}
	p.asked = len(questions)
	p.mu.Unlock()
	if len(questions) == 0 {
		return
	}
	for _, i := range questions {
		if p.writeJSON(map[string]any{"action": "get", "key": p.bench.plan.name(p.keys[i]), "id": i}) != nil {
			break
		}
	}
	p.await(p.answered)
}

// finals adds what finish has found.
func (p *publisher) finals(into []final) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, f := range p.found {
		into[p.keys[i]] = f
	}
}

// remove deletes its keys. It says whether they are known to be gone.
func (p *publisher) remove() bool {
	last := -1
	for i := range p.keys {
		if p.written[i] > 0 {
			last = i
		}
	}
	if last < 0 {
		return true
	}
	p.deleting.Store(true)
	for i := range last + 1 {
		request := map[string]any{"action": "delete", "key": p.bench.plan.name(p.keys[i])}
		if i == last {
			request["id"] = i
		}
		if p.writeJSON(request) != nil {
			return false
		}
	}
	return p.await(p.deleted)
}

// await waits for a reply, but not for ever.
func (p *publisher) await(replied <-chan struct{}) bool {
	timeout := time.NewTimer(p.bench.options.Patience)
	defer timeout.Stop()
	select {
	case <-replied:
		return true
	case <-p.ended:
	case <-timeout.C:
	}
	return false
}

// account adds what went wrong to the report, once the receiver has ended.
func (p *publisher) account(r *Report) {
	r.note(p.wrong, p.because)
	if p.gone != nil {
		r.disconnected(p.gone)
	}
}
