package jetstream

import (
	"sync"
	"time"
)

// clockSamples is the number of beats that the shift is estimated from.
const clockSamples = 8

// A clock knows how far the clock of the NATS server is ahead of this machine's. All times in
// the stream are the server's, so that a node whose clock is wrong does no harm: its keys
// expire at the right time, and its writes have the right time.
//
// The estimate comes from the beat with the shortest round trip, as in NTP (RFC 5905, section
// 10): the server's time is taken to be that in the middle between sending and receiving it.
type clock struct {
	mu      sync.Mutex
	samples [clockSamples]clockSample
	next    int
	ahead   time.Duration // of this machine's clock; only tests set it
}

type clockSample struct {
	shift, trip time.Duration // trip: from sending to receiving; 0: there is no sample
}

// learn takes a beat that was sent and received at times of this machine, and was stored at a
// time of the server.
func (c *clock) learn(sent, received, stored time.Time) {
	trip := received.Sub(sent)
	if trip < 0 {
		return
	}
	middle := sent.Add(trip / 2).Round(0) // without the monotonic clock
	c.mu.Lock()
	defer c.mu.Unlock()
	latest := clockSample{shift: stored.Sub(middle) - c.ahead, trip: max(trip, 1)}
	for i, s := range c.samples {
		if (s.shift - latest.shift).Abs() > (s.trip+latest.trip)/2+maxDrift {
			c.samples[i] = clockSample{} // both cannot be right: a clock was set
		}
	}
	c.samples[c.next] = latest
	c.next = (c.next + 1) % clockSamples
}

// maxDrift is how far clocks drift apart while a sample is kept.
const maxDrift = 10 * time.Millisecond

// minShift is the difference below which clocks count as equal. Clocks that are kept by NTP
// differ less, and an estimate from a busy network is not better.
const minShift = 100 * time.Millisecond

// shift returns how far the server's clock is ahead, in whole milliseconds. It is 0 if the
// difference is small.
func (c *clock) shift() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	var best clockSample
	for _, s := range c.samples {
		if s.trip > 0 && (best.trip == 0 || s.trip < best.trip) {
			best = s
		}
	}
	if best.shift.Abs() < minShift {
		return 0
	}
	return best.shift.Round(time.Millisecond)
}

// now returns the time of the server.
func (c *clock) now() time.Time { return c.local().Add(c.shift()) }

// local returns the time of this machine.
func (c *clock) local() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}
