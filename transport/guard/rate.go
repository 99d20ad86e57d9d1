package guard

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// newLimiter returns a token bucket for perSecond requests a second, and twice as
// many in a burst.
func newLimiter(perSecond float64) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(perSecond), max(int(2*perSecond), 1))
}

// Rates limit the requests of each client. They may be used from any goroutine.
type Rates struct {
	perSecond float64 // 0: no limit

	mu      sync.Mutex
	clients map[string]*clientRate
	swept   time.Time
}

type clientRate struct {
	*rate.Limiter
	used time.Time
}

// rateMemory is how long Rates remember a client. Its bucket is full again after
// two seconds.
const rateMemory = 10 * time.Second

// NewRates limits each client to perSecond requests a second. 0 is no limit.
func NewRates(perSecond float64) *Rates {
	return &Rates{perSecond: perSecond, clients: make(map[string]*clientRate)}
}

// Take reports whether a client may make a request now. If not, it returns how long
// the client must wait.
func (r *Rates) Take(client string) (wait time.Duration, ok bool) {
	if r.perSecond <= 0 {
		return 0, true
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweepLocked(now)
	c := r.clients[client]
	if c == nil {
		c = &clientRate{Limiter: newLimiter(r.perSecond)}
		r.clients[client] = c
	}
	c.used = now
	reservation := c.ReserveN(now, 1)
	if wait = reservation.DelayFrom(now); wait == 0 {
		return 0, true
	}
	reservation.CancelAt(now)
	return wait, false
}

// sweepLocked forgets clients that have not called for a while.
func (r *Rates) sweepLocked(now time.Time) {
	if now.Sub(r.swept) < rateMemory {
		return
	}
	r.swept = now
	for client, c := range r.clients {
		if now.Sub(c.used) > rateMemory {
			delete(r.clients, client)
		}
	}
}

// A Throttle limits the requests of one session. One goroutine uses it.
type Throttle struct {
	limiter *rate.Limiter
	since   time.Time // when the session began to exceed the limit
	last    time.Time // when its last request was refused
}

const (
	// maxExcess is how long a session may go on exceeding the limit.
	maxExcess = 10 * time.Second

	// calmTime without a refusal ends an excess.
	calmTime = time.Second
)

// NewThrottle limits a session to perSecond requests a second. It returns nil,
// which is ready to use, if there is no limit.
func NewThrottle(perSecond float64) *Throttle {
	if perSecond <= 0 {
		return nil
	}
	return &Throttle{limiter: newLimiter(perSecond)}
}

// Take reports whether the session may make a request now. If not, tooLong reports
// whether the session has exceeded the limit for 10 s.
func (t *Throttle) Take() (ok, tooLong bool) {
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
	return false, now.Sub(t.since) >= maxExcess
}
