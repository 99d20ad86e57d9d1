package keyspace

import (
	"slices"
	"sync"
	"time"
)

// A Burst is the writes of one client that follow each other without a pause, because the
// client has sent them together. The sessions of their subscribers are woken after the last
// write, so that a client gets all updates at once. Redis does the same: it handles all that a
// client has sent before it writes.
//
// Without it, four writes of a key with 1000 subscribers made 0.28 sends a delivery instead of
// 0.25, and 200 made 0.014 instead of 0.009 (BenchmarkFanoutOneKey). The processor that handles
// the first write is often faster than the one that reads the second.
//
// The zero value is ready to use. Its owner makes one write after the other, and calls End before
// it does anything that may take long.
type Burst struct {
	mu    sync.Mutex
	open  bool      // another write follows
	held  []*key    // their crowds wait
	since time.Time // when the first of them began to wait
}

// Begin says that a write is about to be made that another one follows at once. The Change of the
// write then has the burst. If the burst has lasted for maxWait, Begin wakes the sessions first.
func (b *Burst) Begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.held) > 0 && time.Since(b.since) >= maxWait {
		b.endLocked()
	}
	b.open = true
}

// End wakes the sessions that wait for another write. It may write to a few of them.
func (b *Burst) End() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endLocked()
}

// endLocked unlocks mu while it wakes the sessions.
func (b *Burst) endLocked() {
	held := b.held
	b.open, b.held = false, nil
	b.mu.Unlock()
	defer b.mu.Lock()
	for _, k := range held {
		// If the mailbox is full, the crowd is woken after the requests in it. If the actor has
		// stopped, the crowd has been woken before.
		wake := &request{task: task{op: opWake}}
		if k.crowded.Load() {
			_ = k.TrySend(wake)
		} else {
			_ = k.TryRun(wake)
		}
	}
}

// hold makes the crowd of a key wait for End. It reports false if no other write follows: a write
// is answered before it is delivered, so the burst may have ended.
func (b *Burst) hold(k *key, since time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return false
	}
	if len(b.held) == 0 {
		b.since = since
	}
	if !slices.Contains(b.held, k) {
		b.held = append(b.held, k)
	}
	return true
}

// release notes that the crowd of a key does not wait any more.
func (b *Burst) release(k *key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.held, k); i >= 0 {
		b.held = slices.Delete(b.held, i, i+1)
	}
}
