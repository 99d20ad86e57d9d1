package client

import (
	"context"
	"sync"
)

// conflateAfter is how many changes wait for a consumer before those of the same key are
// conflated, as the server does it.
const conflateAfter = 256

// A change is an element of a queue: of a key, or a mark.
type change struct {
	key      string
	entry    *entry // nil: a mark, or nothing if removed is set
	stale    bool   // of a mark
	snapshot bool   // the consumer has not got a mark before it
	fresh    bool   // the consumer has not got the key before
	removed  bool
}

// A queue holds the changes that wait for the consumer of a watch. If the consumer is slow,
// the queue has the newest change of each key, so its size is bounded by the number of
// keys. Of marks only the newest waits.
type queue struct {
	ready chan struct{} // has room for one; gets an element if there is something new

	mu     sync.Mutex
	items  []change
	base   int            // number of the first item
	newest map[string]int // number of the last item of each key that waits
	mark   int            // number of the mark that waits; -1: none
	count  int            // items that are not removed
	synced bool           // there was a mark
	err    error          // after the items
}

func newQueue() *queue {
	return &queue{ready: make(chan struct{}, 1), newest: make(map[string]int), mark: -1}
}

// changed implements sink.
func (q *queue) changed(key string, e *entry, existed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n, ok := q.newest[key]; ok && q.count >= conflateAfter {
		item := &q.items[n-q.base]
		if e.deleted && item.fresh { // the consumer never gets to know the key
			q.removeLocked(n)
			return
		}
		item.entry, item.snapshot = e, !q.synced
		return
	}
	q.newest[key] = q.addLocked(change{key: key, entry: e, snapshot: !q.synced, fresh: !existed})
}

// marked implements sink.
func (q *queue) marked(stale, _ bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.synced = !stale
	if q.mark >= 0 {
		q.removeLocked(q.mark)
	}
	q.mark = q.addLocked(change{stale: stale})
}

// received implements sink.
func (q *queue) received(string, *message) {}

// ended implements sink.
func (q *queue) ended(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.err = err
	q.wake()
}

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

func (q *queue) addLocked(c change) (number int) {
	if len(q.items) > 2*q.count+conflateAfter { // most are removed ones
		q.compactLocked()
	}
	q.items = append(q.items, c)
	q.count++
	q.wake()
	return q.base + len(q.items) - 1
}

func (q *queue) removeLocked(number int) {
	item := &q.items[number-q.base]
	if item.entry == nil {
		q.mark = -1
	} else if q.newest[item.key] == number {
		delete(q.newest, item.key)
	}
	*item = change{removed: true}
	q.count--
}

// compactLocked leaves out the removed items.
func (q *queue) compactLocked() {
	kept := make([]change, 0, q.count+1)
	for i := range q.items {
		item := &q.items[i]
		if item.removed {
			continue
		}
		number := q.base + len(kept)
		switch {
		case item.entry == nil:
			q.mark = number
		case q.newest[item.key] == q.base+i:
			q.newest[item.key] = number
		}
		kept = append(kept, *item)
	}
	q.items = kept
}

// next waits for the next change.
func (q *queue) next(ctx context.Context) (change, error) {
	for {
		if err := ctx.Err(); err != nil {
			return change{}, err
		}
		if c, ok, err := q.take(); ok || err != nil {
			return c, err
		}
		select {
		case <-q.ready:
		case <-ctx.Done():
		}
	}
}

func (q *queue) take() (c change, ok bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) > 0 && !ok {
		number := q.base
		c, ok = q.items[0], !q.items[0].removed
		if ok {
			q.removeLocked(number)
		} else {
			q.items[0] = change{}
		}
		q.items = q.items[1:]
		q.base++
	}
	if ok {
		return c, true, nil
	}
	q.items = nil // frees the array
	return change{}, false, q.err
}
