package actor_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"rtdb/actor"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// recorder is an actor that records the messages that it handled. If it has a gate, the
// handler waits for the gate before each batch.
type recorder struct {
	actor.Actor[int]
	gate    chan struct{}
	handled []int // written by the handler; read it while the actor is idle
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

func TestRetireWithMessagesIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(0)
		r.gate = make(chan struct{})
		mustSend(t, &r.Actor, 0)
		synctest.Wait()
		mustSend(t, &r.Actor, 1)
		if r.Retire() {
			t.Error("retired with a message waiting")
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
			t.Fatal("Shutdown returned before the messages were handled")
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

func TestInitPanicsOnBadArguments(t *testing.T) {
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
