package bench

import (
	"runtime"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A histogram has microseconds up to an hour with three digits: 200 KB.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, time.Hour.Microseconds(), 3)
}

// A recorder counts what comes. A histogram for each subscriber would be too
// much memory, one for all too much waiting: so there are some, each for some of
// the subscribers.
type recorder struct {
	shards []*shard
	slow   *shard // of the subscribers that read slowly
}

type shard struct {
	mu        sync.Mutex
	latencies *hdrhistogram.Histogram
	sums      sums
}

// sums are what is counted besides latencies.
type sums struct {
	deliveries int64
	conflated  int64
	last       int64 // when the last one came, in nanoseconds since the start
}

func newRecorder() *recorder {
	r := &recorder{shards: make([]*shard, 4*runtime.GOMAXPROCS(0)), slow: newShard()}
	for i := range r.shards {
		r.shards[i] = newShard()
	}
	return r
}

func newShard() *shard {
	return &shard{latencies: newHistogram()}
}

// shard is the one of the ith subscriber.
func (r *recorder) shard(i int, slow bool) *shard {
	if slow {
		return r.slow
	}
	return r.shards[i%len(r.shards)]
}

// record counts an update that came now, and the skipped ones before it.
func (s *shard) record(due, now int64, skipped uint64) {
	micros := min(max(now-due, 0)/1000, time.Hour.Microseconds())
	s.mu.Lock()
	_ = s.latencies.RecordValue(micros) // it is within the limits
	s.sums.deliveries++
	s.sums.conflated += int64(skipped)
	s.sums.last = max(s.sums.last, now)
	s.mu.Unlock()
}

// total returns the sums of all shards, the slow one included.
func (r *recorder) total() (all sums) {
	for _, s := range append(r.shards[:len(r.shards):len(r.shards)], r.slow) {
		s.mu.Lock()
		all.deliveries += s.sums.deliveries
		all.conflated += s.sums.conflated
		all.last = max(all.last, s.sums.last)
		s.mu.Unlock()
	}
	return all
}

// merged returns the latencies, in microseconds, of who does not read slowly.
func (r *recorder) merged() *hdrhistogram.Histogram {
	all := newHistogram()
	for _, s := range r.shards {
		s.mu.Lock()
		all.Merge(s.latencies)
		s.mu.Unlock()
	}
	return all
}
