package keyspace_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/actor"
	"rtdb/keyspace"
)

// burst makes writes of a key that belong to b.
func burst(t *testing.T, ks *keyspace.Keyspace, b *keyspace.Burst, key string, changes ...keyspace.Change) {
	t.Helper()
	for _, c := range changes {
		b.Begin()
		c.Burst = b
		if _, err := ks.Write(t.Context(), key, c); err != nil {
			t.Fatal(err)
		}
	}
}

func set(value string) keyspace.Change { return keyspace.Change{Value: []byte(value)} }

// inBurst runs a test with a key "k" that has a crowd, and one write that the crowd has got.
func inBurst(t *testing.T, o keyspace.Options, test func(t *testing.T, ks *keyspace.Keyspace, members []*member)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, o)
		members := crowdOf(t, ks, keyspace.Key("k"))
		mustSet(t, ks, "k", "0")
		synctest.Wait()
		time.Sleep(time.Second)
		test(t, ks, members)
	})
}

func wantAll(t *testing.T, members []*member, when string, runs, updates int) {
	t.Helper()
	for _, m := range members {
		m.want(t, when, runs, updates)
	}
}

func TestABurstReachesACrowdTogether(t *testing.T) {
	inBurst(t, keyspace.Options{}, func(t *testing.T, ks *keyspace.Keyspace, members []*member) {
		var b keyspace.Burst
		burst(t, ks, &b, "k", set("1"), set("2"))
		wantAll(t, members, "during the burst", 1, 1)
		mustSet(t, ks, "k", "3")
		wantAll(t, members, "after its last write", 2, 4)
		b.End()
		wantAll(t, members, "after its end", 2, 4)
	})
}

func TestABurstThatEndsEarlyLeavesNobodyWaiting(t *testing.T) {
	inBurst(t, keyspace.Options{}, func(t *testing.T, ks *keyspace.Keyspace, members []*member) {
		var b keyspace.Burst
		burst(t, ks, &b, "k", set("1"), set("2"))
		b.End()
		wantAll(t, members, "after the end", 2, 3)
		b.End()
		time.Sleep(time.Second)
		burst(t, ks, &b, "k", set("3"))
		if _, err := ks.Write(t.Context(), "k", keyspace.Change{Delete: true, If: func(uint64) bool { return false }, Burst: &b}); err == nil {
			t.Error("a write is made whose condition does not hold")
		}
		b.End()
		wantAll(t, members, "after a second burst with a refused write", 3, 4)
	})
}

// A burst may have writes of several keys, and few subscribers.
func TestABurstOfSeveralKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		p := &actor.Pool{Interval: 2 * time.Millisecond}
		members := []*member{newMember(p), newMember(p)}
		for _, m := range members {
			mustSubscribe(t, ks, keyspace.Pattern("#"), m)
		}
		var b keyspace.Burst
		burst(t, ks, &b, "k1", set("1"))
		burst(t, ks, &b, "k2", set("2"))
		burst(t, ks, &b, "k1", set("3"))
		wantAll(t, members, "during the burst", 0, 0)
		b.End()
		wantAll(t, members, "after its end", 1, 3)
		time.Sleep(time.Second)
		burst(t, ks, &b, "k1", set("4"))
		for range 5 { // without an end
			time.Sleep(time.Millisecond)
			wantAll(t, members, "before 5 ms", 1, 3)
			burst(t, ks, &b, "k3", keyspace.Change{Value: []byte("5")})
		}
		if m := members[0]; m.updates() < 3+5 {
			t.Errorf("after 5 ms, a member has %q", m.got)
		}
		b.End()
	})
}

// A write of another client ends the wait, too.
func TestABurstDoesNotDelayOthers(t *testing.T) {
	inBurst(t, keyspace.Options{}, func(t *testing.T, ks *keyspace.Keyspace, members []*member) {
		var b keyspace.Burst
		burst(t, ks, &b, "k", set("1"))
		mustSet(t, ks, "k", "of another client")
		wantAll(t, members, "after the write of another client", 2, 3)
	})
}

// A client can send touches for ever, which are writes that no subscriber is told of.
func TestABurstIsLimitedInTime(t *testing.T) {
	inBurst(t, keyspace.Options{}, func(t *testing.T, ks *keyspace.Keyspace, members []*member) {
		var b keyspace.Burst
		burst(t, ks, &b, "k", set("1"))
		for range 4 {
			time.Sleep(time.Millisecond)
			burst(t, ks, &b, "k", keyspace.Change{Touch: true, TTL: time.Hour})
			wantAll(t, members, "during the burst", 1, 1)
		}
		time.Sleep(time.Millisecond)
		burst(t, ks, &b, "k", keyspace.Change{Touch: true, TTL: time.Hour})
		wantAll(t, members, "after 5 ms", 2, 2)
	})
}

// The actor of a key without subscribers ends.
func TestSubscribersThatLeaveDuringABurst(t *testing.T) {
	inBurst(t, keyspace.Options{}, func(t *testing.T, ks *keyspace.Keyspace, members []*member) {
		var b keyspace.Burst
		burst(t, ks, &b, "k", set("1"))
		for _, m := range members {
			if err := ks.Unsubscribe(t.Context(), keyspace.Key("k"), m); err != nil {
				t.Fatal(err)
			}
		}
		wantAll(t, members, "after all have left", 2, 2)
		b.End()
	})
}

// The actor of a key without a value ends, too, if its subscribers are those of a pattern.
func TestABurstThatEndsWithADelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		members := crowdOf(t, ks, keyspace.Pattern("#"))
		var b keyspace.Burst
		burst(t, ks, &b, "k", set("1"), keyspace.Change{Delete: true})
		wantAll(t, members, "after the delete", 0, 0)
		burst(t, ks, &b, "k", set("2"))
		b.End()
		wantAll(t, members, "after the end", 1, 3)
	})
}

// The store may take long to commit the next write.
func TestABurstDoesNotWaitForTheStore(t *testing.T) {
	inBurst(t, keyspace.Options{Store: &slowStore{Store: keyspace.NewMemory(1), commits: closedChannel()}}, func(t *testing.T, ks *keyspace.Keyspace, members []*member) {
		var b keyspace.Burst
		burst(t, ks, &b, "k", set("1"))
		wantAll(t, members, "after the first write", 2, 2)
		b.End()
	})
}

func closedChannel() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// Whatever bursts do at the same time, in the end each subscriber has each update.
func TestBurstsAtTheSameTime(t *testing.T) {
	ks := open(t, keyspace.Options{})
	keys := []string{"a", "b"}
	var members [][]*member
	for _, key := range keys {
		members = append(members, crowdOf(t, ks, keyspace.Key(key)))
	}
	var wrote [2]int
	var mu sync.Mutex
	var writers sync.WaitGroup
	for range 6 {
		writers.Go(func() {
			var b keyspace.Burst
			for range 60 {
				i := rand.IntN(len(keys))
				n := rand.IntN(4)
				for k := range n {
					c := set(fmt.Sprint(k))
					if k < n-1 || rand.IntN(3) == 0 {
						b.Begin()
						c.Burst = &b
					}
					if _, err := ks.Write(t.Context(), keys[i], c); err != nil {
						t.Error(err)
					}
				}
				b.End()
				mu.Lock()
				wrote[i] += n
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	for i := range keys {
		for _, m := range members[i] {
			for deadline := time.Now().Add(10 * time.Second); m.updates() < wrote[i]; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("a subscriber of %s has %d updates of %d", keys[i], m.updates(), wrote[i])
				}
			}
		}
	}
}

func (m *member) updates() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.got)
}

// A stepSubscriber holds up each delivery until the test lets it go on.
type stepSubscriber struct{ reached, open chan struct{} }

func (g *stepSubscriber) Deliver(*keyspace.Update) {
	g.reached <- struct{}{}
	<-g.open
}

// A client sends a burst of "a", then one of "b". Another client's write keeps the actor of "a" busy
// on another goroutine. So the first client's write of "a" waits for that actor, which may put the
// update into the burst before the burst ends, or find that it has ended, or that it is one of "b".
func TestAClientThatGoesOnToAnotherKey(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			ks := open(t, keyspace.Options{})
			as, bs := crowdOf(t, ks, keyspace.Key("a")), crowdOf(t, ks, keyspace.Key("b"))
			gate := &stepSubscriber{make(chan struct{}), make(chan struct{})}
			mustSubscribe(t, ks, keyspace.Key("a"), gate)
			var client sync.WaitGroup
			client.Go(func() {
				if _, err := ks.Set(t.Context(), "a", []byte("of another client")); err != nil {
					t.Error(err)
				}
			})
			<-gate.reached
			client.Go(func() {
				var b keyspace.Burst
				burst(t, ks, &b, "a", set("1"))
				b.End()
				burst(t, ks, &b, "b", set("1"))
				b.End()
			})
			synctest.Wait()
			gate.open <- struct{}{}
			<-gate.reached
			gate.open <- struct{}{}
			client.Wait()
			time.Sleep(time.Minute)
			synctest.Wait()
			for _, m := range as {
				if m.updates() != 2 {
					t.Errorf("a minute after the burst, a subscriber of a has %d updates of 2", m.updates())
				}
			}
			for _, m := range bs {
				if m.updates() != 1 {
					t.Errorf("a minute after the burst, a subscriber of b has %d updates of 1", m.updates())
				}
			}
		})
	}
}

// A burst of a key with very many subscribers is delivered in parts.
func TestABurstIsLimitedInDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const subscribers, limit = 1 << 12, 1 << 16
		ks := open(t, keyspace.Options{})
		var all [subscribers]counter
		for i := range all {
			mustSubscribe(t, ks, keyspace.Key("k"), &all[i])
		}
		var b keyspace.Burst
		for n := range limit/subscribers + 1 {
			if got := all[0].n.Load(); got != 0 {
				t.Errorf("after %d writes, %d updates are delivered", n, got)
			}
			burst(t, ks, &b, "k", set("1"))
		}
		if got := all[0].n.Load(); got != limit/subscribers {
			t.Errorf("%d updates are delivered before the end, want %d", got, limit/subscribers)
		}
		b.End()
	})
}

// The subscribers of a key with few of them are woken first.
func TestACrowdRunsBehindTheOthersOfItsBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		p := &actor.Pool{Interval: 2 * time.Millisecond, Workers: 1}
		var order []string // of one worker
		runner := func(key string) *sendingSubscriber {
			x := new(sendingSubscriber)
			x.Init(func([]*keyspace.Update) { order = append(order, key) }, actor.Options[*keyspace.Update]{Pool: p})
			return x
		}
		for range 129 {
			mustSubscribe(t, ks, keyspace.Key("crowded"), runner("crowded"))
		}
		mustSubscribe(t, ks, keyspace.Key("quiet"), runner("quiet"))
		var b keyspace.Burst
		burst(t, ks, &b, "crowded", set("1"))
		burst(t, ks, &b, "quiet", set("1"))
		b.End()
		synctest.Wait()
		if len(order) != 130 || order[0] != "quiet" {
			t.Errorf("%d subscribers ran, the first of a %s key", len(order), order[0])
		}
	})
}

// The actors end before the client's burst does.
func TestAShutdownDuringABurst(t *testing.T) {
	inBurst(t, keyspace.Options{}, func(t *testing.T, ks *keyspace.Keyspace, members []*member) {
		var b keyspace.Burst
		burst(t, ks, &b, "k", set("1"))
		if err := ks.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.End()
		wantAll(t, members, "after the end", 2, 2)
	})
}

// A write that a shutdown comes to is delivered at once, and what waits before it.
func TestAShutdownDuringAWriteOfABurst(t *testing.T) {
	inBundle(t, func(t *testing.T, ks *keyspace.Keyspace, d *diary, _, _ *diarist) {
		var b keyspace.Burst
		var shutdown sync.WaitGroup
		burst(t, ks, &b, "a", set("1"), keyspace.Change{Merge: func([]byte) ([]byte, error) {
			shutdown.Go(func() {
				if err := ks.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait() // until it waits for this write
			return []byte("2"), nil
		}})
		shutdown.Wait()
		d.want(t, "after the shutdown", "x: a=1, y: a=1, x: a=2, y: a=2")
		b.End()
		d.want(t, "after the end", "")
	})
}
