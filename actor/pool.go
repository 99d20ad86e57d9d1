package actor

import (
	"runtime"
	"sync"
	"time"
)

// turnLength is how many actors a worker takes at once: the pool's lock is then
// little of what it does, and no other worker waits long for them.
const turnLength = 8

// A Pool runs the actors whose [Options] name it, on a few goroutines that they
// share. Its handlers must not block: one that has to can ask for a goroutine
// of its own with [Actor.Detach]. The zero value is ready to use. A Pool at rest
// has no goroutine. It must not be copied.
//
// A Pool works in rounds, in each of which an actor runs once at most. What
// reaches an actor that has run in this round waits for the next one, which
// begins when all have run, and Interval after this one did at least: so a busy
// actor handles much mail at once. Mail for one that was at rest is handled at
// once, before those that waited for the round: a crowd of busy actors does not
// make it wait (as the new flows of FQ-CoDel, RFC 8290, section 3).
type Pool struct {
	// Interval is how long a round takes at least, and so the longest that
	// mail is held back on purpose. 0 holds none back.
	Interval time.Duration

	// Workers is how many goroutines run actors at the same time. 0 means
	// GOMAXPROCS at the first use.
	Workers int

	mu      sync.Mutex
	fresh   line    // to run in this round, first: they were at rest
	ready   line    // to run in this round
	held    []*seat // to run in the next one, for they have run in this one
	round   uint64
	began   time.Time   // the round
	timer   *time.Timer // begins the next one
	waiting bool        // the timer is set
	working int         // goroutines in work
}

// A seat is an actor's place in its pool.
type seat struct {
	actor interface{ turn() } // no func, for that would be one more thing to load from afar

	// Guarded by the pool's mu.
	ran   uint64 // the last round that it ran in
	waits bool   // it is in a line
}

// A line is of actors that wait, the first at head.
type line struct {
	seats []*seat
	head  int
}

func (l *line) len() int { return len(l.seats) - l.head }

func (l *line) add(seats ...*seat) {
	if l.head > len(l.seats)/2 && len(l.seats)+len(seats) > cap(l.seats) {
		n := copy(l.seats, l.seats[l.head:])
		clear(l.seats[n:])
		l.seats, l.head = l.seats[:n], 0
	}
	l.seats = append(l.seats, seats...)
}

// take moves the first to turn, and returns how many.
func (l *line) take(turn []*seat) int {
	n := copy(turn, l.seats[l.head:])
	clear(l.seats[l.head : l.head+n])
	if l.head += n; l.head == len(l.seats) {
		l.seats, l.head = l.seats[:0], 0
	}
	return n
}

// schedule has the actor run soon: in this round, where it has not, and else
// in the next.
func (p *Pool) schedule(s *seat) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.waits { // its mail of before somebody else has handled (TryRun)
		return
	}
	s.waits = true
	if p.round == 0 {
		p.beginLocked()
	}
	if p.Interval > 0 && s.ran == p.round {
		p.held = append(p.held, s)
		p.advanceLocked()
		return
	}
	p.fresh.add(s)
	p.hireLocked()
}

func (p *Pool) beginLocked() {
	p.round++
	p.began = time.Now()
}

// advanceLocked begins the next round for those that wait for it, if this one
// is over, and else sees that it is begun then: by the worker that runs the last
// of this one, or by the timer.
func (p *Pool) advanceLocked() {
	if p.waiting || len(p.held) == 0 || p.fresh.len()+p.ready.len() > 0 {
		return
	}
	left := p.Interval - time.Since(p.began)
	switch {
	case left <= 0:
		p.beginLocked()
		p.ready.add(p.held...)
		clear(p.held)
		p.held = p.held[:0]
		p.hireLocked()
		return
	case p.timer == nil:
		p.timer = time.AfterFunc(left, p.expired)
	default:
		p.timer.Reset(left)
	}
	p.waiting = true
}

func (p *Pool) expired() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = false
	p.advanceLocked()
}

// hireLocked starts as many workers as there is work for.
func (p *Pool) hireLocked() {
	if p.Workers == 0 {
		p.Workers = runtime.GOMAXPROCS(0)
	}
	for p.working < p.Workers && p.fresh.len()+p.ready.len() > p.working*turnLength {
		p.working++
		go p.work()
	}
}

// work runs actors while there are any.
func (p *Pool) work() {
	var turn [turnLength]*seat
	n, ran, done := 0, 0, false
	defer func() {
		if !done { // a handler called runtime.Goexit: the others are not lost
			p.mu.Lock()
			defer p.mu.Unlock()
			p.working--
			p.fresh.add(turn[ran:n]...)
			p.hireLocked()
		}
	}()
	for {
		if n = p.take(&turn); n == 0 {
			done = true
			return
		}
		for ran = 0; ran < n; {
			s := turn[ran]
			ran++
			s.actor.turn()
		}
		runtime.Gosched() // others first: what they do is more mail for the next
	}
}

// take takes the next few actors. Where there are none the worker is done.
func (p *Pool) take(turn *[turnLength]*seat) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.advanceLocked()
	n := p.fresh.take(turn[:])
	n += p.ready.take(turn[n:])
	for _, s := range turn[:n] {
		s.ran, s.waits = p.round, false
	}
	if n == 0 {
		p.working--
	}
	return n
}
