package actor_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/actor"
)

// An impatient actor tells the pool whether its waits were in vain. Its messages are times.
type impatient struct {
	actor.Actor[time.Time]
	runs    int
	handled chan int // gets the length of each batch
}

func newImpatient(p *actor.Pool) *impatient {
	x := &impatient{handled: make(chan int, 10_000)}
	x.Init(func(batch []time.Time) {
		x.runs++
		if x.Waited() {
			x.Gathered(batch[len(batch)-1].Sub(batch[0]))
		}
		x.handled <- len(batch)
	}, actor.Options[time.Time]{Pool: p})
	return x
}

// burst sends n messages at once.
func (x *impatient) burst(t *testing.T, n int) {
	t.Helper()
	for range n {
		if err := x.TrySend(time.Now()); err != nil {
			t.Fatal(err)
		}
	}
}

// converse sends bursts, of which each waits until the one before was handled. It returns the
// time that they took.
func (x *impatient) converse(t *testing.T, bursts, length int) time.Duration {
	t.Helper()
	start := time.Now()
	for range bursts {
		x.burst(t, length)
		for n := 0; n < length; n += <-x.handled {
		}
	}
	return time.Since(start)
}

// flow sends messages at an interval, and returns the number of runs that they took.
func (x *impatient) flow(t *testing.T, messages int, every time.Duration) (runs int) {
	t.Helper()
	before := x.runs
	for range messages {
		time.Sleep(every)
		x.burst(t, 1)
	}
	time.Sleep(interval)
	for len(x.handled) > 0 {
		<-x.handled
	}
	return x.runs - before
}

// A sender that waits for each answer is not delayed until the next round, except now and then.
func TestAnActorThatWaitsInVainHurries(t *testing.T) {
	for _, length := range []int{1, 5} {
		t.Run(fmt.Sprintf("burst=%d", length), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newImpatient(&actor.Pool{Interval: interval, Workers: 1})
				// It waits 4 times, and then between 4, 8, 16 … 1024 bursts, which are 2044 in all.
				if took, want := x.converse(t, 3000, length), 13*interval; took > want {
					t.Errorf("3000 bursts take %v, want %v at most", took, want)
				}
			})
		})
	}
}

// Messages that come evenly are joined, also after others that were not.
func TestAnActorThatDoesNotWaitInVainIsPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newImpatient(&actor.Pool{Interval: interval, Workers: 1})
		if runs := x.flow(t, 1000, interval/5); runs > 1000/5+1 {
			t.Errorf("1000 messages, five in each round, take %d runs", runs)
		}
		x.converse(t, 3000, 1)
		if runs := x.flow(t, 10_000, interval/5); runs > 1024+(10_000-1024)/5+2 {
			t.Errorf("after a conversation, 10000 messages, five in each round, take %d runs", runs)
		}
		if runs := x.flow(t, 1000, interval/5); runs > 1000/5+1 {
			t.Errorf("later, 1000 messages, five in each round, take %d runs", runs)
		}
	})
}
