package bench

import (
	"runtime"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A recorder counts the updates that the subscribers receive. A histogram for each
// subscriber would need too much memory, and one for all of them would make them wait
// for its lock. So the recorder has a few shards, each for some of the subscribers.
type recorder struct {
	shards []*shard
	slow   *shard // of the subscribers that read slowly
}

func newRecorder() *recorder {
	r := &recorder{shards: make([]*shard, 4*runtime.GOMAXPROCS(0)), slow: newShard()}
	for i := range r.shards {
		r.shards[i] = newShard()
	}
	return r
}

// shardOf returns the shard of a subscriber.
func (r *recorder) shardOf(subscriber int, slow bool) *shard {
	if slow {
		return r.slow
	}
	return r.shards[subscriber%len(r.shards)]
}

// totals returns the sum of all shards, with that of the slow subscribers.
func (r *recorder) totals() (all counts) {
	all.add(r.slow)
	for _, s := range r.shards {
		all.add(s)
	}
	return all
}

// latencies returns the latencies of all subscribers that do not read slowly.
func (r *recorder) latencies() *hdrhistogram.Histogram {
	all := newHistogram()
	for _, s := range r.shards {
		s.mu.Lock()
		all.Merge(s.histogram)
		s.mu.Unlock()
	}
	return all
}

// A shard counts for some of the subscribers.
type shard struct {
	mu        sync.Mutex
	histogram *hdrhistogram.Histogram // of the latencies
	counts    counts
}

func newShard() *shard {
	return &shard{histogram: newHistogram()}
}

// newHistogram returns a histogram of microseconds, up to an hour and with three
// digits. It takes 200 KB.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, time.Hour.Microseconds(), 3)
}

// record counts an update that was due and has arrived at these times, in nanoseconds
// since the run's epoch, and the updates of the same key that were skipped before it.
func (s *shard) record(due, arrived int64, skipped uint64) {
	micros := min(max(arrived-due, 0)/1000, time.Hour.Microseconds())
	s.mu.Lock()
	_ = s.histogram.RecordValue(micros) // it is within the histogram's limits
	s.counts.deliveries++
	s.counts.conflated += int64(skipped)
	s.counts.lastArrival = max(s.counts.lastArrival, arrived)
	s.mu.Unlock()
}

// counts are the counters of a shard.
type counts struct {
	deliveries  int64
	conflated   int64
	lastArrival int64 // of any update, in nanoseconds since the run's epoch
}

func (c *counts) add(s *shard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.deliveries += s.counts.deliveries
	c.conflated += s.counts.conflated
	c.lastArrival = max(c.lastArrival, s.counts.lastArrival)
}
