package storetest

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/keyspace"
)

// sharedOptions returns options for hubs with the settings and the fault.
func sharedOptions(o HubOptions, f hubFault) SharedOptions {
	var mu sync.Mutex
	hubs := map[string]*Hub{}
	return SharedOptions{Open: func(_ testing.TB, name string) keyspace.SharedStore {
		mu.Lock()
		defer mu.Unlock()
		if hubs[name] == nil {
			hubs[name] = NewHub(o)
			hubs[name].fault = f
		}
		return hubs[name].Open()
	}}
}

// upTo returns a random delay.
func upTo(longest time.Duration) func() time.Duration {
	return func() time.Duration { return rand.N(longest) }
}

func TestAHubIsASharedStore(t *testing.T) {
	for name, o := range map[string]HubOptions{
		"at once":         {},
		"at once, echo":   {Echo: true},
		"with delays":     {Delay: upTo(time.Millisecond)},
		"slow, with echo": {Delay: upTo(20 * time.Millisecond), Echo: true},
	} {
		for _, c := range sharedChecks {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { c.run(newCluster(t, sharedOptions(o, hubFault{}), c.name)) })
			})
		}
	}
}

func TestAHubIsASharedStoreInRealTime(t *testing.T) {
	t.Parallel()
	RunShared(t, sharedOptions(HubOptions{Delay: upTo(time.Millisecond)}, hubFault{}))
}
