package actor_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/actor"
)

// A crowd is many actors that share a pool with one worker. Each run takes the time work.
type crowd struct {
	actors []actor.Actor[int]
	runs   atomic.Int64
}

func newCrowd(p *actor.Pool, n int, work time.Duration) *crowd {
	c := &crowd{actors: make([]actor.Actor[int], n)}
	for i := range c.actors {
		c.actors[i].Init(func([]int) {
			time.Sleep(work)
			c.runs.Add(1)
		}, actor.Options[int]{Pool: p})
	}
	return c
}

// wake wakes all actors, as the actor of a key wakes its subscribers.
func (c *crowd) wake(t *testing.T) {
	t.Helper()
	var together actor.Crowd
	defer together.Wake()
	for i := range c.actors {
		if err := c.actors[i].TrySendCrowd(0, &together); err != nil && err != actor.ErrFull {
			t.Fatal(err)
		}
	}
}

// A crowd does not delay other actors, whether they were idle for long or have just run.
func TestACrowdDelaysNobodyElse(t *testing.T) {
	for _, pause := range []time.Duration{interval / 4, interval, 3 * interval, 100 * interval} {
		synctest.Test(t, func(t *testing.T) {
			const work = 100 * time.Microsecond
			p := &actor.Pool{Interval: interval, Workers: 1}
			c := newCrowd(p, 10_000, work) // a second of work
			var mu sync.Mutex
			var slowest time.Duration
			var a actor.Actor[time.Time]
			a.Init(func(sent []time.Time) {
				mu.Lock()
				defer mu.Unlock()
				slowest = max(slowest, time.Since(sent[0]))
			}, actor.Options[time.Time]{Pool: p})
			c.wake(t)
			time.Sleep(work / 2)
			for range 20 {
				if err := a.TrySend(time.Now()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(pause)
				c.wake(t)
			}
			mu.Lock()
			if most := interval + 2*tasksPerTake*work; slowest > most {
				t.Errorf("with a pause of %v, a message was handled after %v, want %v at most", pause, slowest, most)
			}
			mu.Unlock()
			if err := a.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			time.Sleep(3 * time.Second) // until the crowd is done
		})
	}
}

// Other actors do not starve a crowd, and idle ones do not starve busy ones, even if they
// alone are more work than the pool can do: each kind gets about one run of eight at least.
func TestNoKindOfActorIsStarved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const work = 100 * time.Microsecond
		p := &actor.Pool{Interval: interval, Workers: 1}
		crowd, idle := newCrowd(p, 100, work), newCrowd(p, 4000, work)
		start := time.Now()
		var busy [100]actor.Actor[int]
		var busyRuns atomic.Int64
		for i := range busy {
			busy[i].Init(func([]int) {
				time.Sleep(work)
				busyRuns.Add(1)
				if time.Since(start) < time.Second {
					_ = busy[i].TrySend(0) // it has messages all the time
				}
			}, actor.Options[int]{Pool: p})
			send(t, &busy[i], 0)
		}
		for n := 0; time.Since(start) < time.Second; n++ {
			crowd.wake(t)
			for i := range 100 { // each of them is woken again after 80 ms
				_ = idle.actors[(n*100+i)%len(idle.actors)].TrySend(0) // it may be full
			}
			time.Sleep(interval)
		}
		const fair = int64(time.Second/work) / tasksPerTake / 2
		if crowd.runs.Load() < fair || busyRuns.Load() < fair || idle.runs.Load() < fair {
			t.Errorf("%d runs of a crowd, %d of busy actors, %d of idle ones; want %d of each at least",
				crowd.runs.Load(), busyRuns.Load(), idle.runs.Load(), fair)
		}
		time.Sleep(time.Minute)
	})
}

// Many goroutines may yield at once.
func TestYield(t *testing.T) {
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				actor.Yield()
			}
		})
	}
	all.Wait()
}
