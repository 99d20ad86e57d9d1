package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"rtdb/keyspace"
)

// A listener is a subscriber that keeps the messages of topics, without probes.
type listener struct {
	mu       sync.Mutex
	messages []string
	probes   int
}

const probe = "probe"

// Deliver implements [keyspace.Subscriber].
func (l *listener) Deliver(u *keyspace.Update) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case u.Missed:
		l.messages = append(l.messages, "missed")
	case string(u.Value) == probe:
		l.probes++
	default:
		l.messages = append(l.messages, u.Target.Name+" "+string(u.Value))
	}
}

func (l *listener) received() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.messages)
}

// checkSharedTopics requires, of a store that is a [keyspace.Bus], that the subscribers of a
// topic on each keyspace receive each message once, and those of one publisher in order.
func checkSharedTopics(c *cluster) {
	a, b := c.join(), c.join()
	if _, ok := c.store.(keyspace.Bus); !ok {
		c.Skip("the store is not a keyspace.Bus")
	}
	ctx := context.Background()
	here, there, both := new(listener), new(listener), new(listener)
	subscribe := func(ks *keyspace.Keyspace, l *listener, targets ...keyspace.Target) {
		c.Helper()
		for _, t := range targets {
			if err := ks.Subscribe(ctx, t, l, keyspace.Start{}); err != nil {
				c.Fatalf("Subscribe: %v", err)
			}
		}
	}
	publish := func(ks *keyspace.Keyspace, topic, message string) {
		if err := ks.Publish(ctx, topic, []byte(message)); err != nil {
			c.Errorf("Publish: %v", err)
		}
	}
	// The other keyspace may learn of a subscription later.
	awaitProbe := func(from *keyspace.Keyspace, listeners ...*listener) {
		c.Helper()
		for _, l := range listeners {
			l.mu.Lock()
			l.probes = 0
			l.mu.Unlock()
			c.await("a message reaches a subscriber on another keyspace", func() bool {
				publish(from, "t/1", probe)
				l.mu.Lock()
				defer l.mu.Unlock()
				return l.probes > 0
			})
		}
	}
	subscribe(a, here, keyspace.Topic("t/1"), keyspace.Topic("t/2"))
	subscribe(b, there, keyspace.Topic("t/1"), keyspace.Topic("t/2"))
	subscribe(b, both, keyspace.Topic("t/1"), keyspace.TopicPattern("t/+"), keyspace.TopicPattern("#"))
	awaitProbe(a, here, there, both)
	awaitProbe(b, here)
	var publishing sync.WaitGroup
	for p, ks := range []*keyspace.Keyspace{a, b, a} {
		publishing.Go(func() {
			for n := range 50 {
				publish(ks, fmt.Sprint("t/", 1+n%2), fmt.Sprintf("%d.%02d", p, n))
			}
		})
	}
	publishing.Wait()
	for _, l := range []*listener{here, there, both} {
		c.await("each message arrives", func() bool { return len(l.received()) >= 3*50 })
	}
	awaitProbe(a, there) // a second copy would have come before it
	for i, l := range []*listener{here, there, both} {
		messages := l.received()
		for p := range 3 {
			for topic := range 2 {
				prefix := fmt.Sprintf("t/%d %d.", 1+topic, p)
				got := slices.DeleteFunc(slices.Clone(messages), func(m string) bool { return m[:len(prefix)] != prefix })
				if len(got) != 25 || !slices.IsSorted(got) {
					c.Errorf("subscriber %d received of publisher %d: %q, want 25 messages in order", i, p, got)
				}
			}
		}
	}
	for _, t := range []keyspace.Target{keyspace.Topic("t/1"), keyspace.Topic("t/2")} {
		if err := b.Unsubscribe(ctx, t, there); err != nil {
			c.Errorf("Unsubscribe: %v", err)
		}
	}
	n := len(there.received())
	publish(a, "t/1", "for others")
	c.await("a subscriber that stays receives it", func() bool { return len(both.received()) == 3*50+1 })
	if got := there.received(); len(got) != n {
		c.Errorf("after Unsubscribe a subscriber received %q", got[n:])
	}
}
