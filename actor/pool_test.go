package actor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/actor"
)

const interval = 2 * time.Millisecond

// A note says when an actor handled a batch.
type note struct {
	actor int
	at    time.Duration
	batch []int
}

func (n note) String() string { return fmt.Sprintf("%d at %v: %v", n.actor, n.at, n.batch) }

// A diary has a note for each batch that the actors of a pool handled.
type diary struct {
	mu    sync.Mutex
	begin time.Time
	notes []note
}

func (d *diary) write(actor int, batch []int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.notes = append(d.notes, note{actor, time.Since(d.begin), slices.Clone(batch)})
}

func (d *diary) want(t *testing.T, notes ...string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	var got []string
	for _, n := range d.notes {
		got = append(got, n.String())
	}
	slices.Sort(got)
	slices.Sort(notes)
	if !slices.Equal(got, notes) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(notes, "\n\t"))
	}
}

// inPool runs test with n actors that share a pool and a diary.
func inPool(t *testing.T, p *actor.Pool, n int, test func(t *testing.T, d *diary, actors []actor.Actor[int])) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &diary{begin: time.Now()}
		actors := make([]actor.Actor[int], n)
		for i := range actors {
			actors[i].Init(func(batch []int) { d.write(i, batch) }, actor.Options[int]{Pool: p})
		}
		test(t, d, actors)
	})
}

func send(t *testing.T, a *actor.Actor[int], messages ...int) {
	t.Helper()
	for _, m := range messages {
		if err := a.TrySend(m); err != nil {
			t.Fatal(err)
		}
	}
}

// Messages wait only if their actor has run in this round. An actor that was idle runs at
// once, also while others wait for the next round.
func TestAnActorRunsOnceInARound(t *testing.T) {
	inPool(t, &actor.Pool{Interval: interval}, 3, func(t *testing.T, d *diary, actors []actor.Actor[int]) {
		send(t, &actors[0], 1)
		synctest.Wait()
		time.Sleep(interval / 4)
		send(t, &actors[0], 2)
		send(t, &actors[1], 10)
		synctest.Wait()
		send(t, &actors[0], 3)
		time.Sleep(interval / 4)
		send(t, &actors[1], 11)
		send(t, &actors[2], 20)
		time.Sleep(10 * interval)
		send(t, &actors[2], 21)
		synctest.Wait()
		d.want(t,
			"0 at 0s: [1]", "0 at 2ms: [2 3]",
			"1 at 500µs: [10]", "1 at 2ms: [11]",
			"2 at 1ms: [20]", "2 at 21ms: [21]",
		)
	})
}

// An actor that was idle runs before a crowd of actors that are always busy.
func TestBusyActorsDoNotDelayAnIdleOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const crowd, work = 1000, 100 * time.Microsecond
		p := &actor.Pool{Interval: interval, Workers: 1}
		busy := make([]actor.Actor[int], crowd)
		until := time.Now().Add(time.Second)
		for i := range busy {
			busy[i].Init(func([]int) {
				time.Sleep(work)
				if time.Now().Before(until) {
					_ = busy[i].TrySend(0) // it has messages all the time
				}
			}, actor.Options[int]{Pool: p})
			send(t, &busy[i], 0)
		}
		var a actor.Actor[int]
		var mu sync.Mutex
		var handled []time.Duration
		start := time.Now()
		a.Init(func([]int) {
			mu.Lock()
			defer mu.Unlock()
			handled = append(handled, time.Since(start))
		}, actor.Options[int]{Pool: p})
		time.Sleep(250*time.Millisecond + work/2) // in the third round of the crowd, 100 ms each
		for range 3 {
			at := time.Since(start)
			send(t, &a, 0)
			time.Sleep(150 * time.Millisecond)
			mu.Lock()
			if n := len(handled); n == 0 || handled[n-1]-at > tasksPerTake*work {
				t.Errorf("sent at %v, handled %v: want within %v", at, handled, tasksPerTake*work)
			}
			mu.Unlock()
		}
		time.Sleep(time.Second)
	})
}

// tasksPerTake is how many actors a worker may run before it looks for an actor that was
// idle: the constant of this name in pool.go.
const tasksPerTake = 8

func TestRoundsFollowWhileThereAreMessages(t *testing.T) {
	inPool(t, &actor.Pool{Interval: interval}, 1, func(t *testing.T, d *diary, actors []actor.Actor[int]) {
		for i := range 9 {
			send(t, &actors[0], i)
			time.Sleep(700 * time.Microsecond)
		}
		synctest.Wait()
		d.want(t, "0 at 0s: [0]", "0 at 2ms: [1 2]", "0 at 4ms: [3 4 5]", "0 at 6ms: [6 7 8]")
	})
}

// The end of a round does not wait for a timer, which may be late, if it is near.
func TestAMessageDoesNotWaitAtTheEndOfARound(t *testing.T) {
	inPool(t, &actor.Pool{Interval: interval}, 1, func(t *testing.T, d *diary, actors []actor.Actor[int]) {
		for i := range 4 {
			send(t, &actors[0], i)
			time.Sleep(interval * 3 / 4)
		}
		send(t, &actors[0], 4)
		time.Sleep(interval*3/4 - 1)
		send(t, &actors[0], 5)
		time.Sleep(interval)
		d.want(t, "0 at 0s: [0]", "0 at 1.5ms: [1]", "0 at 3ms: [2]", "0 at 4.5ms: [3]", "0 at 6ms: [4]", "0 at 8ms: [5]")
	})
}

func TestAPoolWithoutIntervalDelaysNothing(t *testing.T) {
	inPool(t, new(actor.Pool), 1, func(t *testing.T, d *diary, actors []actor.Actor[int]) {
		for i := range 3 {
			send(t, &actors[0], i)
			synctest.Wait()
		}
		d.want(t, "0 at 0s: [0]", "0 at 0s: [1]", "0 at 0s: [2]")
	})
}

// TryRun does not wait for the next round.
func TestTryRunHandlesABatch(t *testing.T) {
	inPool(t, &actor.Pool{Interval: interval}, 1, func(t *testing.T, d *diary, actors []actor.Actor[int]) {
		a := &actors[0]
		send(t, a, 1)
		synctest.Wait()
		time.Sleep(interval / 4)
		send(t, a, 2)
		if err := a.TryRun(3); err != nil {
			t.Fatal(err)
		}
		d.want(t, "0 at 0s: [1]", "0 at 500µs: [2 3]") // TryRun has returned, so the batch is handled
		time.Sleep(interval)
		if err := a.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := a.TryRun(4); !errors.Is(err, actor.ErrStopped) {
			t.Errorf("TryRun: %v, want ErrStopped", err)
		}
		d.want(t, "0 at 0s: [1]", "0 at 500µs: [2 3]")
	})
}

// A handler that has to block gets a goroutine of its own. The other actors go on, although
// the pool has only one worker.
func TestADetachedHandlerMayBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &actor.Pool{Workers: 1}
		gate := make(chan struct{})
		var slow, quick actor.Actor[int]
		var calls [][]int
		handled := 0
		slow.Init(func(batch []int) {
			calls = append(calls, slices.Clone(batch))
			switch len(calls) {
			case 1, 3:
				slow.Detach() // the second call is on the actor's own goroutine
			case 2, 4:
				<-gate
			}
		}, actor.Options[int]{Pool: p})
		quick.Init(func(batch []int) { handled += len(batch) }, actor.Options[int]{Pool: p})

		send(t, &slow, 1)
		synctest.Wait()
		send(t, &slow, 2, 3)
		send(t, &quick, 1, 2, 3)
		synctest.Wait()
		if handled != 3 {
			t.Errorf("the other actor handled %d messages, want 3", handled)
		}
		gate <- struct{}{} // ends the second call; the third, with 2 and 3, calls Detach again
		synctest.Wait()
		gate <- struct{}{}
		synctest.Wait()
		send(t, &slow, 4) // it runs in the pool again
		if err := slow.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(calls), "[[1] [] [2 3] [] [4]]"; got != want {
			t.Errorf("the handler was called with %s, want %s", got, want)
		}
		if err := quick.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestPooledMessagesAreHandledOnceAndInOrder(t *testing.T) {
	const actors, senders, each = 50, 4, 2000
	p := &actor.Pool{Interval: 50 * time.Microsecond, Workers: 3}
	var all [actors]struct {
		actor.Actor[[2]int]
		last     [senders]int
		handlers atomic.Int32 // that run at this moment
		handled  int
	}
	for i := range all {
		x := &all[i]
		x.Init(func(batch [][2]int) {
			if x.handlers.Add(1) != 1 {
				t.Error("two goroutines run one actor's handler")
			}
			for _, m := range batch {
				if x.last[m[0]]++; x.last[m[0]] != m[1] {
					t.Errorf("sender %d: message %d came as number %d", m[0], m[1], x.last[m[0]])
				}
				x.handled++
			}
			if len(batch) > 0 && x.handled%7 == 0 {
				x.Detach()
			}
			x.handlers.Add(-1)
		}, actor.Options[[2]int]{Pool: p, Capacity: 16})
	}
	ctx := context.Background()
	var group sync.WaitGroup
	for s := range senders {
		group.Go(func() {
			for n := 1; n <= each; n++ {
				for i := range all {
					m := [2]int{s, n}
					if n%3 == 0 && all[i].TryRun(m) == nil {
						continue
					}
					if err := all[i].Send(ctx, m); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	group.Wait()
	for i := range all {
		if err := all[i].Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
		if all[i].handled != senders*each {
			t.Fatalf("%d messages were handled, want %d", all[i].handled, senders*each)
		}
	}
}

// A panic or a Goexit stops only its actor. The tasks behind it still run, and the pool
// goes on.
func TestAPanicInAPoolStopsOnlyItsActor(t *testing.T) {
	for name, fail := range map[string]func(){
		"panic":  func() { panic("boom") },
		"Goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &actor.Pool{Workers: 1}
				var actors [20]actor.Actor[int]
				var handled, panics atomic.Int32
				for i := range actors {
					actors[i].Init(func([]int) {
						if i%2 == 0 {
							fail()
						}
						handled.Add(1)
					}, actor.Options[int]{Pool: p, OnPanic: func(actor.Panic[int]) { panics.Add(1) }})
				}
				for round := range 2 {
					for i := range actors {
						err := actors[i].TrySend(round)
						if stopped := round > 0 && i%2 == 0; stopped != errors.Is(err, actor.ErrStopped) {
							t.Errorf("round %d, actor %d: %v", round, i, err)
						}
					}
					synctest.Wait()
				}
				if handled.Load() != 20 || panics.Load() != 10 {
					t.Errorf("%d handled and %d panics, want 20 and 10", handled.Load(), panics.Load())
				}
			})
		})
	}
}

func TestAPoolWithoutWorkHasNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	p := &actor.Pool{Interval: interval}
	actors := make([]actor.Actor[int], 1000)
	for i := range actors {
		actors[i].Init(func([]int) {}, actor.Options[int]{Pool: p})
		send(t, &actors[i], 1, 2, 3)
	}
	for i := range actors {
		if err := actors[i].Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; runtime.NumGoroutine() > before && i < 1000; i++ {
		time.Sleep(time.Millisecond) // a worker that found no task is about to end
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, want %d", n, before)
	}
}
