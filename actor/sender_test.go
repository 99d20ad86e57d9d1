package actor_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"rtdb/actor"
)

func TestSendWaitsAndTrySendFailsWhenFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(2)
		r.gate = make(chan struct{})
		mustSend(t, &r.Actor, 0)
		synctest.Wait() // the handler has 0
		mustSend(t, &r.Actor, 1)
		mustSend(t, &r.Actor, 2)
		if err := r.TrySend(99); !errors.Is(err, actor.ErrFull) {
			t.Fatalf("TrySend on a full mailbox: got %v, want ErrFull", err)
		}

		var accepted atomic.Int32
		for m := 3; m <= 6; m++ {
			go func() {
				if err := r.Send(t.Context(), m); err != nil {
					t.Errorf("Send(%d): %v", m, err)
				}
				accepted.Add(1)
			}()
			synctest.Wait() // they wait in this order
		}
		if got := accepted.Load(); got != 0 {
			t.Fatalf("%d senders were accepted by a full mailbox", got)
		}
		r.gate <- struct{}{} // 0 is handled; the handler has 1 and 2: room for 3 and 4
		synctest.Wait()
		if got := accepted.Load(); got != 2 {
			t.Fatalf("%d senders were accepted, want 2", got)
		}
		close(r.gate)
		synctest.Wait()
		if want := []int{0, 1, 2, 3, 4, 5, 6}; !slices.Equal(r.handled, want) {
			t.Errorf("handled %v, want %v", r.handled, want)
		}
	})
}

func TestACancelledSenderLeavesNoMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(1)
		r.gate = make(chan struct{})
		mustSend(t, &r.Actor, 0)
		synctest.Wait()
		mustSend(t, &r.Actor, 1)

		cause := errors.New("the caller has gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		errs := make(chan error, 1)
		go func() { errs <- r.Send(ctx, 2) }()
		synctest.Wait()
		go func() {
			if err := r.Send(t.Context(), 3); err != nil {
				t.Errorf("the sender behind the cancelled one: %v", err)
			}
		}()
		synctest.Wait()
		cancel(cause)
		if err := <-errs; !errors.Is(err, cause) {
			t.Errorf("got %v, want the cause of the context", err)
		}
		close(r.gate)
		synctest.Wait()
		if want := []int{0, 1, 3}; !slices.Equal(r.handled, want) {
			t.Errorf("handled %v, want %v", r.handled, want)
		}
		// Send ignores an ended context if there is room.
		if err := r.Send(ctx, 4); err != nil {
			t.Errorf("Send with room and an ended context: %v", err)
		}
		synctest.Wait()
	})
}

// A context may end at any moment of a Send. If Send then returns nil, the message is
// handled; if it returns an error, the message is not handled.
func TestSendRacesItsContext(t *testing.T) {
	var a actor.Actor[int]
	var handled sync.Map
	a.Init(func(batch []int) {
		for _, m := range batch {
			handled.Store(m, true)
		}
		runtime.Gosched()
	}, actor.Options[int]{Capacity: 1})
	var accepted sync.Map
	var senders sync.WaitGroup
	for s := range 8 {
		senders.Go(func() {
			for i := range 3000 {
				m := s*100_000 + i
				ctx, cancel := context.WithCancel(t.Context())
				go cancel()
				if err := a.Send(ctx, m); err == nil {
					accepted.Store(m, true)
				} else if !errors.Is(err, context.Canceled) {
					t.Errorf("Send: %v", err)
				}
			}
		})
	}
	senders.Wait()
	if err := a.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for s := range 8 {
		for i := range 3000 {
			m := s*100_000 + i
			_, wasAccepted := accepted.Load(m)
			if _, wasHandled := handled.Load(m); wasAccepted != wasHandled {
				t.Fatalf("message %d: accepted %v, handled %v", m, wasAccepted, wasHandled)
			}
		}
	}
}
