package actor_test

import (
	"context"
	"fmt"

	"rtdb/actor"
)

// account owns its balance: only its handler touches it, so it needs no lock.
type account struct {
	actor.Actor[int]
	balance int
}

func Example() {
	var a account
	a.Init(func(amounts []int) {
		for _, amount := range amounts {
			a.balance += amount
		}
	}, actor.Options[int]{})

	ctx := context.Background()
	for _, amount := range []int{100, -30, 5} {
		if err := a.Send(ctx, amount); err != nil {
			fmt.Println(err)
		}
	}
	if err := a.Shutdown(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Println(a.balance)
	fmt.Println(a.Send(ctx, 1))
	// Output:
	// 75
	// actor: stopped
}
