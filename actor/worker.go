package actor

import (
	"runtime"
	"time"
)

// tasksPerTake is how many tasks a worker takes from the run queues at once. With 8, a
// worker seldom needs the pool's lock, and no other worker waits long for these tasks.
const tasksPerTake = 8

// A worker yields after yieldInterval, so that the requests of other clients are read. It
// looks at the clock after takesPerLook takes, because a look costs half of what it costs
// to run an actor that has nothing to do.
const (
	yieldInterval = time.Millisecond
	takesPerLook  = 4
)

// A helper is a goroutine with other work, such as a writer's. It is a worker until an actor ends
// after helpTime. While little is to be done, it does that for less CPU than a goroutine that another
// processor has to wake up for: with one subscriber a write takes 12 µs instead of 37, with 10
// it takes 47 µs instead of 80 (BenchmarkFanoutFew). With 50 it takes 255 µs. With a helpTime of
// 200 µs it took 350, because a worker had to send to the last ones.
const helpTime = 500 * time.Microsecond

// startWorkersLocked starts a worker for each tasksPerTake tasks that wait, up to Workers.
func (p *Pool) startWorkersLocked() {
	for p.activeWorkers < p.workersLocked() && p.waitingLocked() > p.activeWorkers*tasksPerTake {
		p.activeWorkers++
		go p.work(false)
	}
}

func (p *Pool) workersLocked() int {
	if p.Workers == 0 {
		p.Workers = runtime.GOMAXPROCS(0)
	}
	return p.Workers
}

// helpLocked runs the tasks that wait, as a helper. If a worker is active or many tasks wait, it
// starts workers instead. The caller holds mu, and helpLocked unlocks it.
func (p *Pool) helpLocked() {
	helps := p.activeWorkers == 0 && p.waitingLocked() > 0 && p.waitingLocked() <= tasksPerWake
	if helps {
		p.activeWorkers++
	} else {
		p.startWorkersLocked()
	}
	p.mu.Unlock()
	if helps {
		p.work(true)
	}
}

// work is a worker: it runs actors until no task is left. A helper leaves the rest to workers
// after helpTime.
func (p *Pool) work(helper bool) {
	var tasks [tasksPerTake]*task
	n, ran, done := 0, 0, false
	since := time.Now() // it began or, if it is no helper, yielded
	defer func() {
		if !done { // the helper leaves, or a handler called runtime.Goexit: the tasks behind it must still run
			p.mu.Lock()
			defer p.mu.Unlock()
			p.activeWorkers--
			p.newTasks.push(tasks[ran:n]...)
			p.startWorkersLocked()
		}
	}()
	for takes := 1; ; takes++ {
		if n = p.take(&tasks); n == 0 {
			done = true
			return
		}
		for ran = 0; ran < n; {
			t := tasks[ran]
			ran++
			t.actor.runBatch()
			if helper && time.Since(since) > helpTime {
				return
			}
		}
		switch {
		case helper:
		case takes%takesPerLook == 0 && time.Since(since) > yieldInterval:
			Yield()
			since = time.Now()
		default:
			runtime.Gosched() // let senders run: their messages join the next batches
		}
	}
}

// take takes the next tasks for a worker, and returns how many. If there are none, the
// worker must end.
//
// It leaves one place to a busy actor and one to a crowd, if any wait.
func (p *Pool) take(tasks *[tasksPerTake]*task) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.newTasks.pop(tasks[:tasksPerTake-2])
	n += p.oldTasks.pop(tasks[n : tasksPerTake-1])
	n += p.crowdTasks.pop(tasks[n:])
	if n < tasksPerTake {
		n += p.newTasks.pop(tasks[n:])
		n += p.oldTasks.pop(tasks[n:])
	}
	for _, t := range tasks[:n] {
		t.lastRound, t.enqueued = p.round, false
	}
	if n == 0 {
		p.activeWorkers--
	}
	return n
}
