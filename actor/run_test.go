package actor_test

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/actor"
)

// Each message is sent as soon as the one before was handled, so the sends meet the actor
// at every stage of becoming idle.
func TestNoWakeUpIsLost(t *testing.T) {
	var a actor.Actor[int]
	handled := make(chan int)
	a.Init(func(batch []int) {
		for _, m := range batch {
			handled <- m
		}
	}, actor.Options[int]{})
	for i := range 50_000 {
		if err := a.TrySend(i); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-handled:
			if got != i {
				t.Fatalf("got message %d, want %d", got, i)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("message %d was accepted and never handled", i)
		}
		if i%3 == 0 {
			runtime.Gosched()
		}
	}
	if err := a.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestAnIdleActorHasNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		actors := make([]*recorder, 1000)
		for i := range actors {
			actors[i] = newRecorder(0)
			if err := actors[i].TrySend(i); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if got := strings.Count(string(stacks), "actor.(*Actor[...]).run("); got != 0 {
			t.Errorf("1000 idle actors have %d goroutines, want none", got)
		}
		for i, a := range actors {
			if !slices.Equal(a.handled, []int{i}) {
				t.Fatalf("actor %d handled %v", i, a.handled)
			}
		}
	})
}

// Without a pool, TryRun handles the message on the caller's goroutine if the actor is idle.
// Messages that come meanwhile get a goroutine.
func TestTryRunWithoutAPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a actor.Actor[int]
		var batches [][]int
		gate := make(chan struct{})
		a.Init(func(batch []int) {
			batches = append(batches, slices.Clone(batch))
			if batch[0] == 2 {
				<-gate
			}
		}, actor.Options[int]{Capacity: 2})
		if err := a.TryRun(1); err != nil || len(batches) != 1 {
			t.Errorf("TryRun: %v, and %v was handled when it returned, want one batch", err, batches)
		}
		var running sync.WaitGroup
		running.Go(func() {
			if err := a.TryRun(2); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		for m, want := range map[int]error{3: nil, 4: nil} {
			if err := a.TryRun(m); err != want {
				t.Errorf("TryRun(%d) of an actor that runs: %v, want %v", m, err, want)
			}
		}
		if err := a.TryRun(5); !errors.Is(err, actor.ErrFull) {
			t.Errorf("TryRun: %v, want ErrFull", err)
		}
		close(gate)
		running.Wait()
		synctest.Wait()
		if len(batches) != 3 || len(batches[2]) != 2 {
			t.Errorf("handled %v, want a third batch of two messages", batches)
		}
		if err := a.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := a.TryRun(6); !errors.Is(err, actor.ErrStopped) {
			t.Errorf("TryRun: %v, want ErrStopped", err)
		}
	})
}

// A panic on the caller's goroutine stops the actor, and not the caller.
func TestAPanicInTryRun(t *testing.T) {
	var a actor.Actor[int]
	var lost []int
	a.Init(func([]int) { panic("no") }, actor.Options[int]{OnPanic: func(p actor.Panic[int]) { lost = p.Lost }})
	if err := a.TryRun(1); err != nil || !slices.Equal(lost, []int{1}) {
		t.Errorf("TryRun: %v, and %v was lost, want [1]", err, lost)
	}
	if err := a.TryRun(2); !errors.Is(err, actor.ErrStopped) {
		t.Errorf("TryRun: %v, want ErrStopped", err)
	}
}
