package actor_test

import (
	"testing"
	"testing/synctest"
	"time"

	"rtdb/actor"
)

// The waker of a few actors runs them itself, if the pool is idle, but not for long.
func TestAWakerHelps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const work, helpTime = 50 * time.Microsecond, 500 * time.Microsecond
		p := &actor.Pool{Interval: interval, Workers: 1}
		few := newCrowd(p, 106, work)
		wake := func(first, n int) (took time.Duration) {
			var c actor.Crowd
			for i := range n {
				if err := few.actors[first+i].TrySendCrowd(0, &c); err != nil {
					t.Fatal(err)
				}
			}
			start := time.Now()
			c.WakeFew()
			return time.Since(start)
		}
		if took := wake(0, 3); took != 3*work || few.runs.Load() != 3 {
			t.Errorf("WakeFew of 3 actors took %v, and %d have run", took, few.runs.Load())
		}
		if took := wake(3, 100); took > helpTime+tasksPerTake*work || few.runs.Load() == 103 {
			t.Errorf("WakeFew of 100 actors took %v, and %d of 103 have run", took, few.runs.Load())
		}
		if took := wake(103, 3); took != 0 {
			t.Errorf("while a worker is active, WakeFew took %v", took)
		}
		time.Sleep(3 * interval)
		if few.runs.Load() != 106 {
			t.Errorf("%d actors have run, want 106", few.runs.Load())
		}
		var c actor.Crowd
		c.WakeFew() // of nobody
	})
}
