package keyspace_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/keyspace"
	"rtdb/keyspace/storetest"
)

// openOn opens a keyspace on a new store of a hub.
func openOn(t testing.TB, hub *storetest.Hub) (*keyspace.Keyspace, *storetest.HubStore) {
	t.Helper()
	store := hub.Open()
	return open(t, keyspace.Options{Store: store}), store
}

func mustSubscribe(t testing.TB, ks *keyspace.Keyspace, target keyspace.Target, s keyspace.Subscriber) {
	t.Helper()
	if err := ks.Subscribe(t.Context(), target, s, keyspace.Start{}); err != nil {
		t.Fatalf("Subscribe: %v", err)
	}
}

func mustUnsubscribe(t testing.TB, ks *keyspace.Keyspace, target keyspace.Target, s keyspace.Subscriber) {
	t.Helper()
	if err := ks.Unsubscribe(t.Context(), target, s); err != nil {
		t.Fatalf("Unsubscribe: %v", err)
	}
}

func mustPublish(t testing.TB, ks *keyspace.Keyspace, topic, value string) {
	t.Helper()
	if err := ks.Publish(t.Context(), topic, []byte(value)); err != nil {
		t.Fatalf("Publish: %v", err)
	}
}

func wantListens(t *testing.T, s *storetest.HubStore, want int) {
	t.Helper()
	if got := s.Listens(); got != want {
		t.Errorf("the keyspace listens to %d targets, want %d", got, want)
	}
}

// The keyspace listens while a target has a subscriber, not for each subscriber, and not
// without one.
func TestTheBusKnowsWhatHasSubscribers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks, store := openOn(t, storetest.NewHub(storetest.HubOptions{}))
		var a, b inbox
		targets := []keyspace.Target{keyspace.Topic("a/b"), keyspace.TopicPattern("a/b"), keyspace.TopicPattern("a/+"), keyspace.TopicPattern("#")}
		for i, target := range targets {
			mustSubscribe(t, ks, target, &a)
			wantListens(t, store, i+1) // when Subscribe has returned
			mustSubscribe(t, ks, target, &b)
			mustUnsubscribe(t, ks, target, &a)
			mustSubscribe(t, ks, target, &b)
			wantListens(t, store, i+1)
		}
		mustSubscribe(t, ks, keyspace.Key("a/b"), &b)
		mustSubscribe(t, ks, keyspace.Pattern("#"), &b)
		wantListens(t, store, len(targets))
		for i, target := range targets {
			mustUnsubscribe(t, ks, target, &b)
			mustUnsubscribe(t, ks, target, &b)
			wantListens(t, store, len(targets)-1-i)
		}
	})
}

// A panic in Deliver or Mark replaces the actor, and the bus is told the subscriptions of the
// successor. The hub panics if Listen and Unlisten do not alternate.
func TestTheBusKnowsTheSubscribersAfterAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storetest.NewHub(storetest.HubOptions{}).Open()
		var panics atomic.Int64
		ks := open(t, keyspace.Options{Store: store, OnPanic: func(keyspace.Panic) { panics.Add(1) }})
		b, topic := new(bomb), keyspace.Topic("t")
		err := ks.Subscribe(t.Context(), topic, b, keyspace.Start{Mark: func(keyspace.Mark) { panic("a broken mark") }})
		if !errors.Is(err, keyspace.ErrInternal) {
			t.Fatalf("Subscribe: %v, want ErrInternal", err)
		}
		wantListens(t, store, 1) // the subscription has begun
		mustPublish(t, ks, "t", "1")
		synctest.Wait()
		wantListens(t, store, 1)
		mustUnsubscribe(t, ks, topic, b)
		wantListens(t, store, 0)
		if n := panics.Load(); n != 2 {
			t.Errorf("%d panics, want 2", n)
		}
	})
}

// Subscribers come and go on many goroutines, and the actors of the topics with them.
func TestTheBusKnowsTheSubscribersAfterARace(t *testing.T) {
	hub := storetest.NewHub(storetest.HubOptions{})
	ks, store := openOn(t, hub)
	other, _ := openOn(t, hub)
	var running sync.WaitGroup
	for g := range 8 {
		running.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(g)))
			var in inbox
			for range 300 {
				target := []keyspace.Target{keyspace.Topic("a"), keyspace.Topic("b"), keyspace.TopicPattern("+"), keyspace.TopicPattern("a")}[random.IntN(4)]
				mustSubscribe(t, ks, target, &in)
				if store.Listens() == 0 {
					t.Error("the keyspace has a subscriber and does not listen")
				}
				mustPublish(t, other, "a", "1")
				mustUnsubscribe(t, ks, target, &in)
			}
		})
	}
	running.Wait()
	wantListens(t, store, 0)
}

// The subscribers of a topic learn of a gap between the messages before it and after it.
func TestMissedMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := storetest.NewHub(storetest.HubOptions{Delay: func() time.Duration { return time.Millisecond }})
		a, _ := openOn(t, hub)
		b, store := openOn(t, hub)
		var topic, other, pattern, both, key inbox
		mustSubscribe(t, b, keyspace.Topic("t/1"), &topic)
		mustSubscribe(t, b, keyspace.Topic("t/2"), &other)
		mustSubscribe(t, b, keyspace.TopicPattern("t/+"), &pattern)
		mustSubscribe(t, b, keyspace.Topic("t/1"), &both)
		mustSubscribe(t, b, keyspace.TopicPattern("t/1"), &both)
		mustSubscribe(t, b, keyspace.Pattern("#"), &key)
		mustPublish(t, a, "t/1", "1")
		time.Sleep(time.Second)
		synctest.Wait()
		mustPublish(t, a, "t/1", "2") // on its way
		store.Miss()
		mustPublish(t, a, "t/1", "3")
		time.Sleep(time.Second)
		synctest.Wait()
		gap := `{"topic":"t/1","value":null,"deleted":true}`
		wantMessages(t, &topic, `{"topic":"t/1","value":1}`, gap, `{"topic":"t/1","value":3}`)
		wantMessages(t, &other, `{"topic":"t/2","value":null,"deleted":true}`)
		wantMessages(t, &key)
		for in, targets := range map[*inbox][]keyspace.Target{
			&topic:   {keyspace.Topic("t/1")},
			&pattern: {keyspace.TopicPattern("t/+")},
			&both:    {keyspace.Topic("t/1"), keyspace.TopicPattern("t/1")},
		} {
			var missed []keyspace.Target
			for _, u := range in.updates {
				if u.Missed {
					missed = append(missed, u.Target)
				}
			}
			if !slices.Equal(missed, targets) || len(in.updates) != 2+len(targets) {
				t.Errorf("%d updates, and missed messages of %v, want %d, and of %v", len(in.updates), missed, 2+len(targets), targets)
			}
		}
		if _, topics := b.Names(); topics != 2 {
			t.Errorf("%d topics have an actor, want the 2 that have subscribers", topics)
		}
	})
}

// The bus does not wait while a message of one topic is delivered.
func TestTheBusGoesOnDuringADelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := storetest.NewHub(storetest.HubOptions{})
		a, _ := openOn(t, hub)
		b, _ := openOn(t, hub)
		gate := &gateSubscriber{make(chan struct{}), make(chan struct{})}
		var in inbox
		mustSubscribe(t, b, keyspace.Topic("long"), gate)
		mustSubscribe(t, b, keyspace.Topic("short"), &in)
		mustPublish(t, a, "long", "1")
		mustPublish(t, a, "short", "2")
		synctest.Wait()
		wantMessages(t, &in, `{"topic":"short","value":2}`)
		close(gate.open)
	})
}

// A message that the bus cannot send reaches nobody, and the publisher knows it.
func TestPublishOnAKeyspaceThatIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := storetest.NewHub(storetest.HubOptions{})
		a, cut := openOn(t, hub)
		b, _ := openOn(t, hub)
		var here, there inbox
		mustSubscribe(t, a, keyspace.Topic("t"), &here)
		mustSubscribe(t, b, keyspace.Topic("t"), &there)
		cut.CutOff(true)
		if err := a.Publish(t.Context(), "t", []byte("1")); !errors.Is(err, keyspace.ErrUnavailable) || !errors.Is(err, keyspace.ErrCutOff) {
			t.Errorf("Publish: %v, want ErrUnavailable and ErrCutOff", err)
		}
		mustPublish(t, b, "t", "2")
		synctest.Wait()
		cut.CutOff(false)
		synctest.Wait()
		mustPublish(t, a, "t", "3")
		synctest.Wait()
		mustPublish(t, b, "t", "4")
		synctest.Wait()
		wantMessages(t, &here, `{"topic":"t","value":null,"deleted":true}`, `{"topic":"t","value":3}`, `{"topic":"t","value":4}`)
		wantMessages(t, &there, `{"topic":"t","value":2}`, `{"topic":"t","value":3}`, `{"topic":"t","value":4}`)
	})
}

// A subscriber that panics on a gap does not keep others from learning of it.
func TestAPanicOnMissedMessagesIsConfined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storetest.NewHub(storetest.HubOptions{}).Open()
		var panics []keyspace.Target
		var mu sync.Mutex
		ks := open(t, keyspace.Options{Store: store, OnPanic: func(p keyspace.Panic) {
			mu.Lock()
			defer mu.Unlock()
			panics = append(panics, p.Target)
		}})
		var in inbox
		mustSubscribe(t, ks, keyspace.TopicPattern("a/#"), new(bomb))
		mustSubscribe(t, ks, keyspace.TopicPattern("b/#"), &in)
		mustSubscribe(t, ks, keyspace.Topic("c"), new(bomb))
		store.Miss()
		synctest.Wait()
		if len(panics) != 2 || len(in.updates) != 1 || !in.updates[0].Missed {
			t.Errorf("panics of %v, and %d updates of another subscriber; want 2, and 1", panics, len(in.updates))
		}
		mustPublish(t, ks, "b/1", "1")
		synctest.Wait()
		if len(in.updates) != 2 {
			t.Errorf("%d updates, want a message after the gap", len(in.updates))
		}
	})
}

// Publishers and a shutdown race. Nothing hangs, and a publish is either sent or refused.
func TestShutdownWhileMessagesCome(t *testing.T) {
	hub := storetest.NewHub(storetest.HubOptions{})
	from, _ := openOn(t, hub)
	for range 20 {
		ks, err := keyspace.Open(keyspace.Options{Store: hub.Open()})
		if err != nil {
			t.Fatal(err)
		}
		var in inbox
		mustSubscribe(t, ks, keyspace.TopicPattern("#"), &in)
		mustSubscribe(t, ks, keyspace.Topic("t"), &in)
		var stop atomic.Bool
		var publishing sync.WaitGroup
		publishing.Go(func() {
			for !stop.Load() {
				mustPublish(t, from, "t", "1")
				if err := ks.Publish(t.Context(), "t", []byte("2")); err != nil && !errors.Is(err, keyspace.ErrClosed) && !errors.Is(err, keyspace.ErrUnavailable) {
					t.Errorf("Publish: %v", err)
				}
			}
		})
		mustPublish(t, from, "t", "0")
		if err := ks.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		stop.Store(true)
		publishing.Wait()
		mustUnsubscribe(t, ks, keyspace.TopicPattern("#"), &in)
		if err := ks.Publish(t.Context(), "t", []byte("3")); !errors.Is(err, keyspace.ErrClosed) {
			t.Errorf("Publish after Shutdown: %v, want ErrClosed", err)
		}
	}
}

// The actor of a topic that only a pattern matches retires after each message. No message is
// lost meanwhile.
func TestNoMessageIsLostWhileATopicRetires(t *testing.T) {
	ks := open(t, keyspace.Options{})
	var received atomic.Int64
	s := subscriberFunc(func(*keyspace.Update) { received.Add(1) })
	mustSubscribe(t, ks, keyspace.TopicPattern("#"), &s)
	const messages = 20_000
	for n := range messages {
		mustPublish(t, ks, fmt.Sprint("t/", n%2), "1")
	}
	if err := ks.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := received.Load(); n != messages {
		t.Errorf("%d of %d messages were received", n, messages)
	}
}
