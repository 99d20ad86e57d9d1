package actor

import "testing"

// TryRun leaves the actor's task in its run queue. Messages that come later must not add
// the task once more.
func TestATaskIsEnqueuedOnce(t *testing.T) {
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
	if n := pool.newTasks.len() + pool.oldTasks.len() + len(pool.nextRound); n > 1 {
		t.Errorf("got %d tasks in the pool's queues, want at most 1", n)
	}
	pool.mu.Unlock()
	close(free)
	for _, x := range []*Actor[int]{&blocker, &a} {
		if err := x.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
