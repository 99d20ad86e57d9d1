package keyspace_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/actor"
	"rtdb/keyspace"
)

// A member is a subscriber whose actor is in a pool, like a session's. It counts how often
// the actor ran.
type member struct {
	actor.Actor[*keyspace.Update]
	mu   sync.Mutex
	runs int
	got  []string
}

func newMember(p *actor.Pool) *member {
	m := new(member)
	m.Init(func(batch []*keyspace.Update) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.runs++
		for _, u := range batch {
			m.got = append(m.got, string(u.Value))
		}
	}, actor.Options[*keyspace.Update]{Pool: p, Capacity: 1 << 12}) // for all updates of a test: it drops none
	return m
}

func (m *member) Deliver(u *keyspace.Update) {
	if u.Crowd == nil {
		_ = m.TrySend(u)
		return
	}
	_ = m.TrySendCrowd(u, u.Crowd)
}

func (m *member) want(t *testing.T, when string, runs, updates int) {
	t.Helper()
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.runs != runs || len(m.got) != updates {
		t.Errorf("%s: %d runs have brought %q, want %d runs with %d updates", when, m.runs, m.got, runs, updates)
	}
}

// crowdOf subscribes 129 members to a target.
func crowdOf(t *testing.T, ks *keyspace.Keyspace, target keyspace.Target) []*member {
	t.Helper()
	p := &actor.Pool{Interval: 2 * time.Millisecond, Workers: 1}
	members := make([]*member, 129)
	for i := range members {
		members[i] = newMember(p)
		if err := ks.Subscribe(t.Context(), target, members[i], keyspace.Start{}); err != nil {
			t.Fatal(err)
		}
	}
	return members
}

// A subscriber holds up the actor of the key once, so that requests wait behind a delivery.
type gateSubscriber struct{ reached, open chan struct{} }

func (g *gateSubscriber) Deliver(*keyspace.Update) {
	if g.reached != nil {
		close(g.reached)
		<-g.open
		g.reached = nil
	}
}

// Writes that follow a write of a key with many subscribers at once reach each subscriber
// together with it.
func TestWritesThatFollowAtOnceReachACrowdTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		members := crowdOf(t, ks, keyspace.Key("k"))
		mustSet(t, ks, "k", "0") // from now on, the key's actor has a goroutine of its own
		for _, m := range members {
			m.want(t, "after a write", 1, 1)
		}
		time.Sleep(time.Second)
		gate := &gateSubscriber{make(chan struct{}), make(chan struct{})}
		reached := gate.reached
		if err := ks.Subscribe(t.Context(), keyspace.Key("k"), gate, keyspace.Start{}); err != nil {
			t.Fatal(err)
		}
		mustSet(t, ks, "k", "1")
		<-reached
		var writers sync.WaitGroup
		for _, v := range []string{"2", "3"} {
			writers.Go(func() { _, _ = ks.Set(t.Context(), "k", []byte(v)) })
		}
		synctest.Wait()
		for _, m := range members {
			m.want(t, "while more follows", 1, 1)
		}
		close(gate.open)
		writers.Wait()
		for _, m := range members {
			m.want(t, "when nothing follows", 2, 4)
		}
	})
}

// A holdSubscriber notes how many updates were delivered to a crowd before it was woken. It
// must be the first subscriber of the key.
type holdSubscriber struct {
	gate      gateSubscriber
	held, max int
}

func (h *holdSubscriber) Deliver(u *keyspace.Update) {
	h.gate.Deliver(u)
	switch {
	case u.Crowd == nil:
		return
	case u.Crowd.Len() == 0:
		h.held = 0
	}
	h.held++
	h.max = max(h.max, h.held)
}

// A crowd is woken after some 4096 deliveries, even if each write has a condition, and so is a run
// of its own.
func TestACrowdIsWokenDuringABatchOfRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		h := &holdSubscriber{gate: gateSubscriber{make(chan struct{}), make(chan struct{})}}
		reached := h.gate.reached
		mustSubscribe(t, ks, keyspace.Key("k"), h)
		crowdOf(t, ks, keyspace.Key("k"))
		var writers sync.WaitGroup
		always := func(uint64) bool { return true }
		for i := range 200 {
			writers.Go(func() { _, _ = ks.Write(t.Context(), "k", keyspace.Change{Value: []byte("1"), If: always}) })
			if i == 0 {
				<-reached
			}
		}
		synctest.Wait()
		close(h.gate.open)
		writers.Wait()
		mustUnsubscribe(t, ks, keyspace.Key("k"), h)
		if limit := 4096/130 + 2; h.max > limit {
			t.Errorf("a crowd of 130 subscribers was held for %d updates, want %d at most", h.max, limit)
		}
	})
}

// A write of a new key does not wait until it is delivered to a crowd, nor does the first
// message of a topic.
func TestAWriterDoesNotDeliverToACrowd(t *testing.T) {
	for _, target := range []keyspace.Target{keyspace.Pattern("#"), keyspace.TopicPattern("#")} {
		synctest.Test(t, func(t *testing.T) {
			ks := open(t, keyspace.Options{})
			gate := &gateSubscriber{make(chan struct{}), make(chan struct{})}
			members := crowdOf(t, ks, target)
			mustUnsubscribe(t, ks, target, members[0])
			mustSubscribe(t, ks, target, gate)
			written := false
			go func() {
				if target.Kind == keyspace.KindPattern {
					_, _ = ks.Set(t.Context(), "k", []byte("1"))
				} else {
					_ = ks.Publish(t.Context(), "k", []byte("1"))
				}
				written = true
			}()
			synctest.Wait()
			if !written {
				t.Errorf("%v: the writer waits for the deliveries", target)
			}
			close(gate.open)
		})
	}
}

// The subscribers do not wait while the actor makes many merges.
func TestACrowdDoesNotWaitForMerges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		members := crowdOf(t, ks, keyspace.Key("k"))
		mustSet(t, ks, "k", "0") // from now on, the key's actor has a goroutine of its own
		time.Sleep(time.Second)
		gate := &gateSubscriber{make(chan struct{}), make(chan struct{})}
		reached := gate.reached
		mustSubscribe(t, ks, keyspace.Key("k"), gate)
		mustSet(t, ks, "k", "1")
		<-reached
		var writers sync.WaitGroup
		merges := 0
		merge := func(value []byte) ([]byte, error) {
			if merges++; merges == 10 {
				members[0].want(t, "during the merges", 2, 2)
			}
			time.Sleep(time.Millisecond)
			return value, nil
		}
		for range 10 {
			writers.Go(func() { _, _ = ks.Write(t.Context(), "k", keyspace.Change{Merge: merge}) })
		}
		synctest.Wait()
		close(gate.open)
		writers.Wait()
	})
}

// The subscribers of a key whose store may take long do not wait for the next commit.
func TestACrowdDoesNotWaitForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowStore{Store: keyspace.NewMemory(1), commits: make(chan struct{})}
		ks := open(t, keyspace.Options{Store: store})
		members := crowdOf(t, ks, keyspace.Key("k"))
		var writers sync.WaitGroup
		for range 3 {
			writers.Go(func() { _, _ = ks.Set(t.Context(), "k", []byte("1")) })
			synctest.Wait()
		}
		store.commits <- struct{}{}
		members[0].want(t, "during the second commit", 1, 1)
		close(store.commits)
		writers.Wait()
	})
}

// A slowStore commits when the test lets it.
type slowStore struct {
	keyspace.Store
	commits chan struct{}
}

func (s *slowStore) Commit(ctx context.Context, writes []keyspace.Record) error {
	<-s.commits
	return s.Store.Commit(ctx, writes)
}

// If a subscriber panics, those before it get the update.
func TestACrowdIsWokenAfterAPanic(t *testing.T) {
	for _, target := range []keyspace.Target{keyspace.Key("k"), keyspace.Topic("k")} {
		synctest.Test(t, func(t *testing.T) {
			panics := make(chan keyspace.Panic, 1)
			ks := open(t, keyspace.Options{OnPanic: func(p keyspace.Panic) { panics <- p }})
			members := crowdOf(t, ks, target)
			if err := ks.Subscribe(t.Context(), target, &panicking{}, keyspace.Start{}); err != nil {
				t.Fatal(err)
			}
			if target.Kind == keyspace.KindTopic {
				if err := ks.Publish(t.Context(), "k", []byte("1")); err != nil {
					t.Fatal(err)
				}
			} else {
				mustSet(t, ks, "k", "1")
			}
			if p := <-panics; p.Target != target {
				t.Errorf("the actor of %v panicked", p.Target)
			}
			for _, m := range members {
				m.want(t, "after the panic", 1, 1)
			}
		})
	}
}

type panicking struct{ _ int }

func (*panicking) Deliver(*keyspace.Update) { panic(errors.New("a subscriber fails")) }
