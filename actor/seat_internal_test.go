package actor

import "testing"

// Who handles an actor's mail in the pool's place leaves its seat in the line, and
// the next mail does not take another.
func TestAnActorHasOneSeatInALine(t *testing.T) {
	pool := &Pool{Workers: 1}
	busy, free := make(chan struct{}), make(chan struct{})
	var blocker, a Actor[int]
	blocker.Init(func([]int) { close(busy); <-free }, Options[int]{Pool: pool})
	a.Init(func([]int) {}, Options[int]{Pool: pool})
	if err := blocker.TrySend(0); err != nil {
		t.Fatal(err)
	}
	<-busy
	for i := range 1000 {
		send := a.TrySend
		if i%2 == 1 {
			send = a.TryRun
		}
		if err := send(i); err != nil {
			t.Fatal(err)
		}
	}
	pool.mu.Lock()
	if n := pool.fresh.len() + pool.ready.len() + len(pool.held); n > 1 {
		t.Errorf("%d seats wait, want 1", n)
	}
	pool.mu.Unlock()
	close(free)
	for _, x := range []*Actor[int]{&blocker, &a} {
		if err := x.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
