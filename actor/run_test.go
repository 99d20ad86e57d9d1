package actor_test

import (
	"runtime"
	"slices"
	"strings"
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
