package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
	"rtdb/transport/transporttest"
)

// A listener passes the updates that it receives to a channel.
type listener chan *keyspace.Update

func (l listener) Deliver(u *keyspace.Update) { l <- u }

// next returns the next update as "topic value", or as "topic missed".
func (l listener) next(t *testing.T) string {
	t.Helper()
	select {
	case u := <-l:
		if u.Missed {
			return u.Target.Name + " missed"
		}
		return fmt.Sprintf("%s %s", u.Target.Name, u.Value)
	case <-time.After(20 * time.Second):
		t.Fatal("no message came")
		return ""
	}
}

func (n node) listen(t *testing.T, targets ...keyspace.Target) listener {
	t.Helper()
	l := make(listener, 10_000)
	for _, target := range targets {
		if err := n.Subscribe(t.Context(), target, l, keyspace.Start{}); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// publishUntil publishes a message until it has come: the servers may not know yet that
// somebody listens.
func (n node) publishUntil(t *testing.T, topic, value string, l listener) {
	t.Helper()
	for {
		if err := n.Publish(t.Context(), topic, []byte(value)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-l:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// A message of a topic comes to the subscribers on all nodes, once and in order.
func TestTopics(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{Servers: 1})
	a := start(t, jetstream.Options{URL: c.URL(), Node: "a"})
	b := start(t, jetstream.Options{URL: c.URL(), Node: "b"})
	here := a.listen(t, keyspace.Topic("room/1"))
	there := b.listen(t, keyspace.Topic("room/1"), keyspace.TopicPattern("room/#"), keyspace.TopicPattern("+/1"), keyspace.TopicPattern("#"))
	other := b.listen(t, keyspace.TopicPattern("room/#"))
	a.publishUntil(t, "room/1", "ready", other)
	if err := a.Publish(t.Context(), "room/1", []byte("set")); err != nil {
		t.Fatal(err)
	}
	for _, l := range []listener{here, there, other} {
		for got := l.next(t); got != "room/1 set"; got = l.next(t) { // ready may have been sent twice
			if got != "room/1 ready" {
				t.Fatalf("got %s", got)
			}
		}
	}
	const messages = 2000
	for i := range messages {
		if err := a.Publish(t.Context(), "room/1", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range messages {
		for name, l := range map[string]listener{"here": here, "there": there, "other": other} {
			if got, want := l.next(t), fmt.Sprint("room/1 ", i); got != want {
				t.Fatalf("%s: got %s, want %s", name, got, want)
			}
		}
	}
	if err := a.Publish(t.Context(), "room", []byte("parent")); err != nil {
		t.Fatal(err)
	}
	if got := other.next(t); got != "room parent" {
		t.Errorf("got %s", got)
	}
	if err := b.Unsubscribe(t.Context(), keyspace.TopicPattern("room/#"), other); err != nil {
		t.Fatal(err)
	}
	if err := a.Publish(t.Context(), "room/1", []byte("end")); err != nil {
		t.Fatal(err)
	}
	if got := there.next(t); got != "room parent" {
		t.Errorf("got %s", got)
	}
	if got := there.next(t); got != "room/1 end" {
		t.Errorf("got %s", got)
	}
	if len(other) > 0 {
		t.Errorf("after the unsubscribe it got %s", other.next(t))
	}
}

// A node that has lost its connection tells the subscribers that they may have missed
// messages. Later messages come again.
func TestTopicsMissed(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{Servers: 1})
	a := start(t, jetstream.Options{URL: c.URL(), Node: "a"})
	b := start(t, jetstream.Options{URL: c.URL(), Node: "b"})
	l := b.listen(t, keyspace.Topic("t"))
	pattern := b.listen(t, keyspace.TopicPattern("x/+"))
	a.publishUntil(t, "t", "1", l)
	c.Server(0).Kill()
	c.Server(0).Restart()
	for got := l.next(t); got != "t missed"; got = l.next(t) { // the message may have been sent twice
		if got != "t 1" {
			t.Fatalf("got %s", got)
		}
	}
	if got := pattern.next(t); got != "x/+ missed" {
		t.Errorf("got %s", got)
	}
	eventually(t, 20*time.Second, "a is connected again", func() bool {
		err := a.Publish(t.Context(), "t", []byte("2"))
		if err != nil && !errors.Is(err, keyspace.ErrUnavailable) {
			t.Fatal(err)
		}
		return err == nil
	})
	a.publishUntil(t, "t", "3", l)
}

// What a node publishes may be lost if it loses its connection. The subscribers on other nodes,
// whose connections are well, are told.
func TestTopicsOfAnotherNodeMissed(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	p := transporttest.NewProxy(t, c.Server(0).Addr())
	a := start(t, jetstream.Options{URL: "nats://" + p.Addr, Node: "a"})
	b := start(t, jetstream.Options{URL: c.URL(), Node: "b"})
	l := b.listen(t, keyspace.Topic("t"))
	a.publishUntil(t, "t", "1", l)
	p.Cut()
	for got := l.next(t); got != "t missed"; got = l.next(t) { // the message may have been sent twice
		if got != "t 1" {
			t.Fatalf("got %s", got)
		}
	}
}

// A client that comes to another node takes over from its older session.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{Servers: 1})
	a := start(t, jetstream.Options{URL: c.URL(), Node: "a"})
	b := start(t, jetstream.Options{URL: c.URL(), Node: "b"})
	since := time.Now()
	asked := make(chan string, 10)
	b.store.AnswerTakeovers(func(_ context.Context, client, subject string, at time.Time) (bool, error) {
		asked <- fmt.Sprint(client, " ", subject, " ", at.Sub(since).Abs() < 200*time.Millisecond)
		return client == "newer", nil
	})
	eventually(t, 10*time.Second, "a has heard of b", func() bool { return a.store.Status().Peers == 1 })
	if err := a.store.TakeOver(t.Context(), "c", "s", since); err != nil {
		t.Error(err)
	}
	if got := <-asked; got != "c s true" {
		t.Errorf("asked %s", got)
	}
	if err := a.store.TakeOver(t.Context(), "newer", "s", since); !errors.Is(err, jetstream.ErrNewerSession) {
		t.Errorf("%v, want ErrNewerSession", err)
	}
}

// A node that loads the state has no sessions, so nobody waits for its answer.
func TestTakeOverWhileANodeLoads(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	a := start(t, jetstream.Options{URL: c.URL(), Node: "a"})
	if _, err := a.Set(t.Context(), "k", []byte("1")); err != nil {
		t.Fatal(err)
	}
	loading, err := jetstream.Open(jetstream.Options{URL: c.URL(), Node: "loading"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = loading.Close() }()
	stopped, goOn := make(chan struct{}), make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, err := loading.Load(&keptState{versions: map[string]uint64{}, first: func() { close(stopped); <-goOn }})
		if err != nil {
			t.Error(err)
		}
	}()
	<-stopped
	defer func() { close(goOn); <-ended }()
	eventually(t, patience, "the beat of the other node", func() bool { return a.store.Status().Peers == 1 })
	began := time.Now()
	if err := a.store.TakeOver(t.Context(), "c", "s", began); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v", took)
	}
}
