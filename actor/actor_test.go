package actor_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"rtdb/actor"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// recorder is an actor that keeps what it handled. Its gate, where set, holds
// the handler back before each batch.
type recorder struct {
	actor.Actor[int]
	gate    chan struct{}
	handled []int // by the handler; read it when the actor is parked
	batches int
	panics  []actor.Panic[int]
}

func newRecorder(capacity int) *recorder {
	r := new(recorder)
	r.Init(r.handle, actor.Options[int]{Capacity: capacity, OnPanic: func(p actor.Panic[int]) {
		r.panics = append(r.panics, p)
	}})
	return r
}

func (r *recorder) handle(batch []int) {
	if r.gate != nil {
		<-r.gate
	}
	r.batches++
	for _, m := range batch {
		if m < 0 {
			panic("negative")
		}
		r.handled = append(r.handled, m)
	}
}

func TestMessagesAreHandledInTheOrderSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const senders, each = 8, 2000
		type message struct{ sender, n int }
		var a actor.Actor[message]
		next := make([]int, senders)
		a.Init(func(batch []message) {
			for _, m := range batch {
				if m.n != next[m.sender] {
					t.Errorf("sender %d: got message %d, want %d", m.sender, m.n, next[m.sender])
				}
				next[m.sender]++
			}
		}, actor.Options[message]{Capacity: 3})

		var senderWG sync.WaitGroup
		for s := range senders {
			senderWG.Go(func() {
				for n := range each {
					if err := a.Send(t.Context(), message{s, n}); err != nil {
						t.Errorf("Send: %v", err)
						return
					}
				}
			})
		}
		senderWG.Wait()
		synctest.Wait()
		for s, n := range next {
			if n != each {
				t.Errorf("sender %d: %d messages handled, want %d", s, n, each)
			}
		}
	})
}

// One message after the other, each sent the moment the one before was
// handled: the sender then meets the actor in every stage of parking.
func TestNoWakeUpIsLostWhileParking(t *testing.T) {
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
			t.Errorf("1000 parked actors have %d goroutines, want none", got)
		}
		for i, a := range actors {
			if !slices.Equal(a.handled, []int{i}) {
				t.Fatalf("actor %d handled %v", i, a.handled)
			}
		}
	})
}

func TestAFullMailboxRefusesAndMakesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(2)
		r.gate = make(chan struct{})
		mustSend(t, &r.Actor, 0)
		synctest.Wait() // 0 is in hand
		mustSend(t, &r.Actor, 1)
		mustSend(t, &r.Actor, 2)
		if err := r.TrySend(99); !errors.Is(err, actor.ErrFull) {
			t.Fatalf("TrySend on a full mailbox: got %v, want ErrFull", err)
		}

		var admitted atomic.Int32
		for m := 3; m <= 6; m++ {
			go func() {
				if err := r.Send(t.Context(), m); err != nil {
					t.Errorf("Send(%d): %v", m, err)
				}
				admitted.Add(1)
			}()
			synctest.Wait() // they come one after the other
		}
		if got := admitted.Load(); got != 0 {
			t.Fatalf("%d senders were let into a full mailbox", got)
		}
		r.gate <- struct{}{} // 0 done; 1 and 2 in hand: room for 3 and 4
		synctest.Wait()
		if got := admitted.Load(); got != 2 {
			t.Fatalf("%d senders admitted into 2 places", got)
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
		// An ended context does not matter where there is room.
		if err := r.Send(ctx, 4); err != nil {
			t.Errorf("Send with room and an ended context: %v", err)
		}
		synctest.Wait()
	})
}

// Whatever a send with a context that ends at any moment returns is the truth:
// nil and the message is handled, an error and it is not.
func TestASendThatRacesItsContextTellsTheTruth(t *testing.T) {
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

func TestAPanicStopsItsOwnActorAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, other := newRecorder(4), newRecorder(4)
		r.gate = make(chan struct{})
		mustSend(t, &r.Actor, 1)
		synctest.Wait() // 1 is in hand
		for _, m := range []int{2, -1, 3, 4} {
			mustSend(t, &r.Actor, m)
		}
		errs := make(chan error, 2)
		for m := 5; m <= 6; m++ {
			go func() { errs <- r.Send(t.Context(), m) }()
			synctest.Wait()
		}
		r.gate <- struct{}{} // 1 is done; 2 -1 3 4 in hand; 5 and 6 have room
		synctest.Wait()
		for range 2 {
			if err := <-errs; err != nil {
				t.Fatalf("Send into a free place: %v", err)
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
			t.Errorf("got %+v, want an error for a value and the message lost", p)
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

func TestRetireLosesNoMessage(t *testing.T) {
	for range 3000 {
		var a actor.Actor[int]
		var handled int
		var retired bool
		a.Init(func(batch []int) {
			handled += len(batch)
			retired = a.Retire()
		}, actor.Options[int]{})
		mustSend(t, &a, 0)
		var accepted int
		for {
			err := a.TrySend(1)
			if errors.Is(err, actor.ErrStopped) {
				break
			}
			if err == nil {
				accepted++
			}
		}
		if err := a.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !retired || handled != accepted+1 {
			t.Fatalf("retired %v after %d of %d accepted messages", retired, handled, accepted+1)
		}
	}
}

func TestRetireWithMailIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(0)
		r.gate = make(chan struct{})
		mustSend(t, &r.Actor, 0)
		synctest.Wait()
		mustSend(t, &r.Actor, 1)
		if r.Retire() {
			t.Error("retired with mail waiting")
		}
		close(r.gate)
		synctest.Wait()
		if !r.Retire() {
			t.Error("an idle actor did not retire")
		}
		if r.Retire() {
			t.Error("retired twice")
		}
		if err := r.TrySend(2); !errors.Is(err, actor.ErrStopped) {
			t.Errorf("TrySend: %v, want ErrStopped", err)
		}
	})
}

func TestShutdownDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(2)
		r.gate = make(chan struct{})
		mustSend(t, &r.Actor, 0)
		synctest.Wait()
		mustSend(t, &r.Actor, 1)
		mustSend(t, &r.Actor, 2)
		waiting := make(chan error, 1)
		go func() { waiting <- r.Send(t.Context(), 3) }()
		synctest.Wait()

		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Shutdown(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Shutdown of a busy actor: %v, want the context's error", err)
		}
		if err := <-waiting; !errors.Is(err, actor.ErrStopped) {
			t.Errorf("the waiting sender got %v, want ErrStopped", err)
		}
		if err := r.TrySend(4); !errors.Is(err, actor.ErrStopped) {
			t.Errorf("TrySend after Shutdown: %v, want ErrStopped", err)
		}

		ended := make(chan error, 2)
		for range 2 {
			go func() { ended <- r.Shutdown(t.Context()) }()
		}
		synctest.Wait()
		if len(ended) != 0 {
			t.Fatal("Shutdown returned before the mail was handled")
		}
		close(r.gate)
		for range 2 {
			if err := <-ended; err != nil {
				t.Errorf("Shutdown: %v", err)
			}
		}
		if want := []int{0, 1, 2}; !slices.Equal(r.handled, want) {
			t.Errorf("handled %v, want %v", r.handled, want)
		}
		if err := r.Shutdown(t.Context()); err != nil {
			t.Errorf("the last Shutdown: %v", err)
		}
	})
}

func TestInitRefusesNonsense(t *testing.T) {
	for name, init := range map[string]func(*actor.Actor[int]){
		"no handler":        func(a *actor.Actor[int]) { a.Init(nil, actor.Options[int]{}) },
		"negative capacity": func(a *actor.Actor[int]) { a.Init(func([]int) {}, actor.Options[int]{Capacity: -1}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			init(new(actor.Actor[int]))
		})
	}
}

func mustSend[M any](t *testing.T, a *actor.Actor[M], m M) {
	t.Helper()
	if err := a.TrySend(m); err != nil {
		t.Fatalf("TrySend(%v): %v", m, err)
	}
}
