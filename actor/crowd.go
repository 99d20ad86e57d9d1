package actor

import "slices"

// A Crowd wakes actors of a pool together, such as the subscribers of a key. An actor
// that was idle, and that [Actor.TrySendCrowd] has sent a message to, waits for [Crowd.Wake].
// Messages of other senders wait with it; only [Actor.TryRun] does not. So messages that
// follow at once are in the same batch: with four writes of a key with 1000 subscribers in
// flight, a subscriber gets 1.1 batches for four updates, not 1.34 to 1.49
// (BenchmarkFanoutOneKey/window=4). Redis does the same: it reads all that has come before it
// writes.
//
// The pool runs a crowd behind actors that other sends woke, so that it delays nobody else, unless
// it is so small that [Crowd.WakeFew] wakes it. An actor that already waits to run keeps its place.
//
// The zero value is ready to use. One goroutine at a time may use it.
type Crowd struct {
	pool  *Pool
	tasks []*task
}

// tasksPerWake is how many tasks are scheduled while the pool is locked, so that its workers
// do not wait for long.
const tasksPerWake = 128

// Len returns the number of actors that wait for Wake.
func (c *Crowd) Len() int { return len(c.tasks) }

// hold makes a task wait for Wake. It reports false if the crowd belongs to another pool.
func (c *Crowd) hold(p *Pool, t *task) bool {
	if len(c.tasks) == 0 {
		c.pool = p
	}
	if c.pool != p {
		return false
	}
	c.tasks = append(c.tasks, t)
	return true
}

// Wake lets the actors run that wait.
func (c *Crowd) Wake() {
	for tasks := range slices.Chunk(c.tasks, tasksPerWake) {
		c.pool.scheduleCrowd(tasks)
	}
	c.clear()
}

// WakeFew is Wake for a few actors, which do not run behind others. If the pool is idle, the
// caller runs them, until one of them ends after helpTime. So their handlers must not wait for it.
func (c *Crowd) WakeFew() {
	if len(c.tasks) > 0 {
		c.pool.scheduleFew(c.tasks)
	}
	c.clear()
}

func (c *Crowd) clear() {
	clear(c.tasks)
	c.pool, c.tasks = nil, c.tasks[:0]
}
