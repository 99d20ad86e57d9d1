package client

import "time"

// A backoff says how long to wait before the next attempt, with full jitter: a random
// part of a ceiling that doubles with each attempt. So clients that were cut off together
// come back spread over time.
type backoff struct {
	min, max time.Duration // of the ceiling
	random   func(n int64) int64
	ceiling  time.Duration
}

// next returns the next wait.
func (b *backoff) next() time.Duration {
	b.ceiling = min(max(b.ceiling*2, b.min), b.max)
	return time.Duration(b.random(int64(b.ceiling) + 1))
}

// reset begins again with the shortest ceiling.
func (b *backoff) reset() { b.ceiling = 0 }
