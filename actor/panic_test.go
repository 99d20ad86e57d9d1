package actor_test

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"rtdb/actor"
)

func TestAPanicStopsOnlyItsActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, other := newRecorder(4), newRecorder(4)
		r.gate = make(chan struct{})
		mustSend(t, &r.Actor, 1)
		synctest.Wait() // the handler has 1
		for _, m := range []int{2, -1, 3, 4} {
			mustSend(t, &r.Actor, m)
		}
		errs := make(chan error, 2)
		for m := 5; m <= 6; m++ {
			go func() { errs <- r.Send(t.Context(), m) }()
			synctest.Wait()
		}
		r.gate <- struct{}{} // 1 is handled; the handler has 2 -1 3 4; 5 and 6 have room
		synctest.Wait()
		for range 2 {
			if err := <-errs; err != nil {
				t.Fatalf("Send with room: %v", err)
			}
		}
		mustSend(t, &r.Actor, 7)
		mustSend(t, &r.Actor, 8)
		go func() { errs <- r.Send(t.Context(), 9) }()
		synctest.Wait()
		r.gate <- struct{}{} // the panic
		if err := <-errs; !errors.Is(err, actor.ErrStopped) {
			t.Errorf("the waiting sender got %v, want ErrStopped", err)
		}
		synctest.Wait()

		if len(r.panics) != 1 {
			t.Fatalf("OnPanic was called %d times, want once", len(r.panics))
		}
		p := r.panics[0]
		if p.Value != "negative" || !strings.Contains(string(p.Stack), "recorder).handle") {
			t.Errorf("panic %v with stack\n%s\nwant the value and the handler's stack", p.Value, p.Stack)
		}
		if want := []int{2, -1, 3, 4, 5, 6, 7, 8}; !slices.Equal(p.Lost, want) {
			t.Errorf("lost %v, want %v", p.Lost, want)
		}
		if err := r.TrySend(10); !errors.Is(err, actor.ErrStopped) {
			t.Errorf("TrySend after the panic: %v, want ErrStopped", err)
		}
		if err := r.Send(t.Context(), 10); !errors.Is(err, actor.ErrStopped) {
			t.Errorf("Send after the panic: %v, want ErrStopped", err)
		}
		if err := r.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown after the panic: %v", err)
		}
		mustSend(t, &other.Actor, 1)
		synctest.Wait()
		if !slices.Equal(other.handled, []int{1}) {
			t.Errorf("the other actor handled %v, want [1]", other.handled)
		}
	})
}

func TestGoexitInAHandlerCountsAsAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a actor.Actor[int]
		panics := make(chan actor.Panic[int], 1)
		a.Init(func([]int) { runtime.Goexit() }, actor.Options[int]{
			OnPanic: func(p actor.Panic[int]) { panics <- p },
		})
		mustSend(t, &a, 1)
		if p := <-panics; p.Value == nil || !slices.Equal(p.Lost, []int{1}) {
			t.Errorf("got %+v, want an error as the value, and the message in Lost", p)
		}
		synctest.Wait()
		if err := a.TrySend(2); !errors.Is(err, actor.ErrStopped) {
			t.Errorf("TrySend: %v, want ErrStopped", err)
		}
	})
}

func TestGoexitStopsAnActorThatHasNoOnPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a actor.Actor[int]
		a.Init(func([]int) { runtime.Goexit() }, actor.Options[int]{})
		mustSend(t, &a, 1)
		synctest.Wait()
		if err := a.TrySend(2); !errors.Is(err, actor.ErrStopped) {
			t.Errorf("TrySend: %v, want ErrStopped", err)
		}
		if err := a.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
}
