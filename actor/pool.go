package actor

import (
	"sync"
	"time"
)

// A Pool runs actors on a few goroutines, its workers, which the actors share. An actor
// joins the pool that its [Options] name. Handlers must not block, because a blocked
// handler keeps a worker from the other actors. A handler that has to block calls
// [Actor.Detach].
//
// A Pool works in rounds that last Interval. Messages for an actor that has run in the current
// round wait for the next one. So a busy actor handles many messages at once. If that joins no
// messages, the actor need not wait (see [Actor.Waited]). If the first of these messages comes in
// the last quarter of the round, the next one begins at once.
//
// Actors that have messages run in this order:
//
//  1. Actors that were idle: they ran neither in this round nor in the last one.
//  2. Busy actors.
//  3. Actors that [Crowd.Wake] woke.
//
// While more than that waits, of eight actors that run at least one is busy, and at least
// one is of a crowd. So busy actors and crowds delay an idle actor by a few runs, and are
// not starved. FQ-CoDel treats new flows in the same way (RFC 8290, section 3).
//
// A worker yields after a millisecond (see [Yield]). While little is to be done, the goroutine
// that wakes the actors runs them itself ([Crowd.WakeFew]).
//
// The zero value is ready to use. A Pool without work has no goroutine. It must not be
// copied after first use.
type Pool struct {
	// Interval is the length of a round. It is also the longest time that a message is
	// delayed on purpose. If it is 0, no message is delayed.
	//
	// Tried (BenchmarkFanoutPaced):
	//
	//   - Rounds of half the length while the workers have little to do. With an Interval of 2 ms the
	//     p99 was 1.4 ms instead of 2.4 ms, and the CPU 1.27 times as much. A shorter Interval is
	//     simpler.
	//   - A shorter Interval alone. With 1, 0.6 and 0.4 ms the p99 was 1.55, 1.33 and 1.15 ms (Redis
	//     0.89 ms), for 0.38, 0.54 and 0.68 of the CPU of Redis. At 2000 writes a second 0.6 ms joined
	//     nothing: 1.11 of the CPU of Redis instead of 0.78.
	//   - A timer of timerfd(2), because the runtime's is 0.2 ms late. With an Interval of 1 ms the
	//     p99 was 1.43 ms instead of 1.47 ms, and with 0.6 ms 1.02 ms, for 0.62 of the CPU of Redis
	//     instead of 0.43.
	//   - Sessions that write in four turns within a round: a p99 of 1.2 ms, for 0.67.
	//   - A second worker only for more than 64 tasks, or only after 2 or 10 ms of work, and a
	//     Gosched only after 32 or while all workers are active: no gain, or more sends.
	Interval time.Duration

	// Workers is how many goroutines may run actors at the same time. 0 means the value
	// of GOMAXPROCS at the first use.
	Workers int

	mu            sync.Mutex
	newTasks      runQueue // their actors were idle
	oldTasks      runQueue // their actors are busy
	crowdTasks    runQueue // a Crowd woke their actors
	nextRound     []*task  // to run in the next round, because they have run in this one
	round         uint64   // number of the current round; 0 before the first
	roundStart    time.Time
	timer         *time.Timer // begins the next round
	timerSet      bool
	activeWorkers int
}

// A task is an actor as its pool sees it.
type task struct {
	actor interface{ runBatch() } // not a func: calling one loads one more pointer from distant memory

	// Guarded by the pool's mu.
	lastRound uint64 // the last round in which the actor ran
	enqueued  bool   // the task is in a run queue or nextRound
	crowd     bool   // a Crowd woke the actor
	patience
}

// schedule makes the task's actor run: in this round, or in the next one if it has already
// run in this round. crowd reports that the actor was woken together with many others.
func (p *Pool) schedule(t *task, crowd bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.scheduleLocked(t, crowd, false)
	p.startWorkersLocked()
}

// scheduleAgain is schedule for an actor that has just run, and that messages have come for
// meanwhile.
func (p *Pool) scheduleAgain(t *task) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.scheduleLocked(t, t.crowd, true)
	p.startWorkersLocked()
}

// scheduleCrowd schedules the tasks of actors that were woken together.
func (p *Pool) scheduleCrowd(tasks []*task) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range tasks {
		p.scheduleLocked(t, true, false)
	}
	p.startWorkersLocked()
}

// scheduleFew schedules the tasks of a few actors that were woken together. If no worker is
// active, the caller becomes a helper.
func (p *Pool) scheduleFew(tasks []*task) {
	p.mu.Lock()
	for _, t := range tasks {
		p.scheduleLocked(t, false, false)
	}
	p.helpLocked()
}

func (p *Pool) scheduleLocked(t *task, crowd, again bool) {
	if t.enqueued { // TryRun handled the messages, and left the task in its queue
		return
	}
	t.enqueued, t.crowd = true, crowd
	if p.round == 0 {
		p.beginRoundLocked()
	}
	if p.Interval > 0 && (again || t.lastRound == p.round) && !t.hurriesLocked() {
		p.nextRound = append(p.nextRound, t)
		p.advanceRoundLocked()
		t.waited.Store(p.timerSet) // else the next round has begun
		return
	}
	p.enqueueLocked(t, t.lastRound == 0 || t.lastRound < p.round-1)
}

func (p *Pool) enqueueLocked(t *task, idle bool) {
	switch {
	case t.crowd:
		p.crowdTasks.push(t)
	case idle:
		p.newTasks.push(t)
	default:
		p.oldTasks.push(t)
	}
}

func (p *Pool) beginRoundLocked() {
	p.round++
	p.roundStart = time.Now()
}

// advanceRoundLocked begins the next round if the current one is over, or else sets the
// timer that does. Its caller starts workers. It does not wait for the tasks of the current round that have not run
// yet: after a write of a key with 10,000 subscribers these are 50 ms of work.
func (p *Pool) advanceRoundLocked() {
	if p.timerSet || len(p.nextRound) == 0 {
		return
	}
	left := p.Interval - time.Since(p.roundStart)
	switch { // a quarter, because the runtime's timer waits for a millisecond at least if no other event comes
	case left <= p.Interval/4:
		p.beginRoundLocked()
		for _, t := range p.nextRound {
			p.enqueueLocked(t, false)
		}
		clear(p.nextRound)
		p.nextRound = p.nextRound[:0]
		return
	case p.timer == nil:
		p.timer = time.AfterFunc(left, p.timerFired)
	default:
		p.timer.Reset(left)
	}
	p.timerSet = true
}

// timerFired begins a round, on a goroutine of its own.
func (p *Pool) timerFired() {
	p.mu.Lock()
	p.timerSet = false
	p.advanceRoundLocked()
	p.helpLocked()
}

func (p *Pool) waitingLocked() int {
	return p.newTasks.len() + p.oldTasks.len() + p.crowdTasks.len()
}

// A runQueue is a first-in, first-out queue of tasks.
type runQueue struct {
	tasks []*task
	head  int // index of the first task
}

func (q *runQueue) len() int { return len(q.tasks) - q.head }

// push appends tasks. It reuses the space in front of head instead of growing the slice if
// that space is more than half of it.
func (q *runQueue) push(tasks ...*task) {
	if q.head > len(q.tasks)/2 && len(q.tasks)+len(tasks) > cap(q.tasks) {
		n := copy(q.tasks, q.tasks[q.head:])
		clear(q.tasks[n:])
		q.tasks, q.head = q.tasks[:n], 0
	}
	q.tasks = append(q.tasks, tasks...)
}

// pop moves the first tasks into the slice that it is given, and returns how many.
func (q *runQueue) pop(into []*task) int {
	n := copy(into, q.tasks[q.head:])
	clear(q.tasks[q.head : q.head+n])
	if q.head += n; q.head == len(q.tasks) {
		q.tasks, q.head = q.tasks[:0], 0
	}
	return n
}
