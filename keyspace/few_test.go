package keyspace_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/actor"
	"rtdb/keyspace"
)

// The tests of keys with few subscribers, whose sessions the key's actor may run itself.

// sends counts the runs of subscribers that each take a time, and knows when the last one ended.
type sends struct {
	mu   sync.Mutex
	n    int
	last time.Time
}

// A sendingSubscriber is a subscriber whose actor is in a pool, like a session's.
type sendingSubscriber struct {
	actor.Actor[*keyspace.Update]
}

func (s *sends) subscribe(t *testing.T, ks *keyspace.Keyspace, p *actor.Pool, key string, cost time.Duration) {
	t.Helper()
	x := new(sendingSubscriber)
	x.Init(func([]*keyspace.Update) {
		time.Sleep(cost)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.n, s.last = s.n+1, time.Now()
	}, actor.Options[*keyspace.Update]{Pool: p, Capacity: 1 << 12})
	mustSubscribe(t, ks, keyspace.Key(key), x)
}

func (s *sends) want(t *testing.T, n int, since time.Time, limit time.Duration) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if took := s.last.Sub(since); s.n != n || took > limit {
		t.Errorf("%d sends in %v, want %d in %v at most", s.n, took, n, limit)
	}
}

func (x *sendingSubscriber) Deliver(u *keyspace.Update) { _ = x.TrySendCrowd(u, u.Crowd) }

// A client that writes many keys does not write to all their subscribers itself.
func TestWritesOfManyKeysAreSentByTheWorkers(t *testing.T) {
	const keys, each, cost, workers = 100, 50, 3 * time.Microsecond, 8
	const helpTime = 500 * time.Microsecond // of package actor
	for name, write := range map[string]func(t *testing.T, ks *keyspace.Keyspace){
		"a burst": func(t *testing.T, ks *keyspace.Keyspace) {
			var b keyspace.Burst
			for i := range keys {
				burst(t, ks, &b, fmt.Sprint("k", i), set("1"))
			}
			b.End()
		},
		"a batch": func(t *testing.T, ks *keyspace.Keyspace) {
			var changes []keyspace.KeyedChange
			for i := range keys {
				changes = append(changes, keyspace.KeyedChange{Key: fmt.Sprint("k", i), Change: set("1")})
			}
			for _, r := range ks.WriteAll(t.Context(), changes) {
				if r.Err != nil {
					t.Error(r.Err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ks := open(t, keyspace.Options{})
				p := &actor.Pool{Interval: time.Millisecond, Workers: workers}
				var s sends
				for i := range keys {
					for range each {
						s.subscribe(t, ks, p, fmt.Sprint("k", i), cost)
					}
				}
				start := time.Now()
				write(t, ks)
				if took := time.Since(start); took > 2*(helpTime+each*cost) { // a burst has 64 writes, so there are two
					t.Errorf("the writer needs %v", took)
				}
				time.Sleep(time.Second)
				s.want(t, keys*each, start, 2*keys*each*cost/workers)
			})
		})
	}
}

// A burst does not hold the subscribers of a key while its next write waits for another key.
func TestABurstDoesNotWaitForABusyKey(t *testing.T) {
	for _, merges := range []int{10, 1000} { // with 1000, the mailbox is full
		t.Run(fmt.Sprint(merges), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ks := open(t, keyspace.Options{})
				var s sends
				s.subscribe(t, ks, &actor.Pool{Interval: time.Millisecond}, "a", 0)
				mustSet(t, ks, "b", "1")
				slow := func(old []byte) ([]byte, error) {
					time.Sleep(time.Millisecond)
					return old, nil
				}
				var writers sync.WaitGroup
				for range merges {
					writers.Go(func() { _, _ = ks.Write(t.Context(), "b", keyspace.Change{Merge: slow}) })
				}
				time.Sleep(time.Millisecond / 2)
				start := time.Now()
				var b keyspace.Burst
				burst(t, ks, &b, "a", set("1"))
				burst(t, ks, &b, "b", set("2"))
				b.End()
				writers.Wait()
				s.want(t, 1, start, 0)
			})
		})
	}
}

// Subscribers do not wait while other requests of the key come for ever.
func TestSubscribersDoNotWaitForReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		var s sends
		s.subscribe(t, ks, &actor.Pool{Interval: time.Millisecond}, "k", 0)
		stop := time.Now().Add(time.Second)
		var readers sync.WaitGroup
		for range 300 { // more than a mailbox takes
			readers.Go(func() {
				for time.Now().Before(stop) {
					_ = ks.GetInOrder(t.Context(), "k", func(keyspace.Entry) { time.Sleep(20 * time.Microsecond) })
				}
			})
		}
		time.Sleep(10 * time.Millisecond)
		start := time.Now()
		mustSet(t, ks, "k", "1")
		readers.Wait()
		s.want(t, 1, start, 25*time.Millisecond) // three batches of 256 reads and 5 ms
	})
}
