package actor_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rtdb/actor"
)

// A counter is an actor that owns a total. Only its handler uses the total, so it needs no
// lock.
type counter struct {
	actor.Actor[int]
	total int
}

// add is the counter's handler.
func (c *counter) add(batch []int) {
	for _, n := range batch {
		c.total += n
	}
}

// An actor owns its state. Shutdown handles the messages that were accepted; the state may
// then be read without the actor.
func Example() {
	var c counter
	c.Init(c.add, actor.Options[int]{})

	ctx := context.Background()
	for _, n := range []int{100, -30, 5} {
		if err := c.Send(ctx, n); err != nil {
			fmt.Println(err)
		}
	}
	if err := c.Shutdown(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Println(c.total)

	err := c.Send(ctx, 1)
	fmt.Println(errors.Is(err, actor.ErrStopped))
	// Output:
	// 75
	// true
}

// A thousand actors share two goroutines. Each actor runs at most once in a round of two
// milliseconds, and then handles all messages that came in that time.
func ExamplePool() {
	pool := &actor.Pool{Interval: 2 * time.Millisecond, Workers: 2}
	counters := make([]counter, 1000)
	for i := range counters {
		counters[i].Init(counters[i].add, actor.Options[int]{Pool: pool})
	}

	for n := 1; n <= 3; n++ {
		for i := range counters {
			if err := counters[i].TrySend(n); err != nil {
				fmt.Println(err)
			}
		}
	}

	ctx := context.Background()
	total := 0
	for i := range counters {
		if err := counters[i].Shutdown(ctx); err != nil {
			fmt.Println(err)
		}
		total += counters[i].total
	}
	fmt.Println(total)
	// Output: 6000
}
