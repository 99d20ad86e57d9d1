package transport

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// newLimiter lets so many through a second, and twice that at once.
func newLimiter(perSecond float64) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(perSecond), max(int(2*perSecond), 1))
}

// A rates limits requests by who they are from.
type rates struct {
	perSecond float64 // 0: no limit

	mu    sync.Mutex
	of    map[string]*rated
	swept time.Time
}

type rated struct {
	*rate.Limiter
	used time.Time
}

// rateMemory is how long a rates remembers somebody: a bucket is full again
// after two seconds.
const rateMemory = 10 * time.Second

// take reports whether somebody may make a request, and else how long to wait.
func (r *rates) take(who string) (wait time.Duration, ok bool) {
	if r.perSecond <= 0 {
		return 0, true
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweepLocked(now)
	x := r.of[who]
	if x == nil {
		if r.of == nil {
			r.of = make(map[string]*rated)
		}
		x = &rated{Limiter: newLimiter(r.perSecond)}
		r.of[who] = x
	}
	x.used = now
	reserved := x.ReserveN(now, 1)
	if wait = reserved.DelayFrom(now); wait == 0 {
		return 0, true
	}
	reserved.CancelAt(now)
	return wait, false
}

// sweepLocked forgets who has not called for long.
func (r *rates) sweepLocked(now time.Time) {
	if now.Sub(r.swept) < rateMemory {
		return
	}
	r.swept = now
	for who, x := range r.of {
		if now.Sub(x.used) > rateMemory {
			delete(r.of, who)
		}
	}
}

// A throttle limits the requests of one session. It is the reader's own.
type throttle struct {
	limiter *rate.Limiter
	since   time.Time // when it began to go too fast, where it still does
	last    time.Time // when a request of it was refused
}

const (
	// floodTime is how long a session may go on too fast.
	floodTime = 10 * time.Second

	// calmTime without a refusal is the end of that.
	calmTime = time.Second
)

// newThrottle returns nil where there is no limit.
func newThrottle(perSecond float64) *throttle {
	if perSecond <= 0 {
		return nil
	}
	return &throttle{limiter: newLimiter(perSecond)}
}

// take reports whether the session may make a request, and else whether it has
// gone on for too long.
func (t *throttle) take() (ok, flood bool) {
	if t == nil {
		return true, false
	}
	now := time.Now()
	if t.limiter.AllowN(now, 1) {
		return true, false
	}
	if now.Sub(t.last) > calmTime {
		t.since = now
	}
	t.last = now
	return false, now.Sub(t.since) >= floodTime
}
