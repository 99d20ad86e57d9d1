package transport_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rtdb/transport"
)

// A message is a message of the server about one key.
type message struct {
	ID       *int
	Key      string
	Value    uint64
	Version  uint64
	Revision *uint64
}

// next receives a message.
func (p *peer) next() (m message) {
	p.t.Helper()
	text := p.receive()
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		p.t.Fatalf("%s: %v", text, err)
	}
	return m
}

// hotWriter sets a key to 1, 2, 3 … until the test ends. Its versions are the same
// numbers.
func (w *wire) hotWriter(t *testing.T, key string) {
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := w.keyspace.Set(context.Background(), key, fmt.Append(nil, i)); err != nil {
				t.Errorf("Set: %v", err)
				return
			}
			if i%10 == 0 { // otherwise a reader could not keep up
				time.Sleep(100 * time.Microsecond)
			}
		}
	})
	t.Cleanup(func() { close(stop); writer.Wait() })
}

// Requests take effect and are answered in the order sent, even if many are under way.
func TestPipelinedRequestsKeepTheirOrder(t *testing.T) {
	w := newWire(t, transport.Options{})
	p := w.dial(t)
	const n = 2000
	var sender sync.WaitGroup
	sender.Go(func() {
		for i := range n {
			p.send(fmt.Sprintf(`{"action":"set","key":"k","value":%d}`, i))
			p.send(`{"action":"get","key":"k"}`)
			p.send(fmt.Sprintf(`{"action":"get","key":"k","id":%d}`, i))
		}
	})
	for i := range n {
		p.want(
			fmt.Sprintf(`{"key":"k","value":%d,"version":%d,"at":%d000}`, i, i+1, i+1),
			fmt.Sprintf(`{"id":%d,"ok":true,"key":"k","value":%d,"version":%d,"at":%d000}`, i, i, i+1, i+1),
		)
	}
	sender.Wait()
}

// Updates of a key and replies to get come in the order of their versions.
func TestRepliesToGetAreInOrderWithUpdates(t *testing.T) {
	w := newWire(t, transport.Options{})
	p := w.dial(t)
	p.ask(`{"action":"subscribe","key":"k","id":1}`, `{"id":1,"ok":true,"revision":0,"epoch":"e"}`)
	w.hotWriter(t, "k")
	var asker sync.WaitGroup
	const gets = 3000
	asker.Go(func() {
		for range gets {
			p.send(`{"action":"get","key":"k","id":7}`)
		}
	})
	var last uint64
	for answered := 0; answered < gets; {
		m := p.next()
		if m.Value < last {
			t.Fatalf("a reply or update with value %d came after one with %d", m.Value, last)
		}
		last = m.Value
		if m.ID != nil {
			answered++
		}
	}
	asker.Wait()
}

// The reply to subscribe separates the updates up to its revision, which the subscriber
// does not get, from the later ones, which it gets.
func TestTheReplyToSubscribeSeparatesOldUpdatesFromNew(t *testing.T) {
	w := newWire(t, transport.Options{})
	w.hotWriter(t, "k")
	p := w.dial(t)
	for range 1000 {
		p.send(`{"action":"subscribe","key":"k","id":1}`)
		m := p.next()
		if m.Revision == nil {
			t.Fatalf("an update with value %d came before the reply to the subscribe", m.Value)
		}
		revision := *m.Revision
		if m = p.next(); m.Value != revision+1 {
			t.Fatalf("the first update after revision %d is %d", revision, m.Value)
		}
		last := m.Value
		p.send(`{"action":"subscribe","key":"k","id":2}`) // a second subscribe changes nothing
		p.send(`{"action":"unsubscribe","key":"k","id":3}`)
		for m = p.next(); m.ID == nil || *m.ID != 3; m = p.next() {
			switch {
			case m.Revision != nil && *m.Revision != last:
				t.Fatalf("revision %d right after the update %d", *m.Revision, last)
			case m.Revision == nil && m.Value <= last: // a gap is right if the client fell behind
				t.Fatalf("update %d after %d", m.Value, last)
			case m.Revision == nil:
				last = m.Value
			}
		}
	}
}

// The same holds for topics, which have no revision.
func TestNothingOfATopicComesBeforeTheReply(t *testing.T) {
	w := newWire(t, transport.Options{})
	p := w.dial(t)
	stop := make(chan struct{})
	var publisher sync.WaitGroup
	publisher.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := w.keyspace.Publish(t.Context(), "t", []byte("1")); err != nil {
				t.Errorf("Publish: %v", err)
				return
			}
		}
	})
	defer publisher.Wait()
	defer close(stop)
	for range 1000 {
		p.send(`{"action":"subscribe","topic":"t","id":1}`)
		if m := p.next(); m.ID == nil {
			t.Fatal("a message of the topic came before the reply to the subscribe")
		}
		p.send(`{"action":"unsubscribe","topic":"t","id":2}`)
		for m := p.next(); m.ID == nil; m = p.next() {
		}
	}
}

// After a pong with a revision, the client has every update up to it.
func TestAPongComesAfterTheUpdatesUpToItsRevision(t *testing.T) {
	w := newWire(t, transport.Options{FlushInterval: time.Millisecond})
	p := w.dialVersioned(t, "rtdb.v1")
	p.wantCode(`{"action":"subscribe","pattern":"#","id":1}`, "")
	const writers, writes, enough = 4, 1000, 10 // each writer goes on until there were enough pongs
	var (
		writing sync.WaitGroup
		pongs   atomic.Int64
	)
	for i := range writers {
		writing.Go(func() {
			for n := 0; n < writes || pongs.Load() < enough && !t.Failed(); n++ {
				if _, err := w.keyspace.Set(t.Context(), fmt.Sprintf("k/%d/%d", i, n), []byte("1")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	received := map[uint64]bool{}
	for last := uint64(0); last < writers*writes || pongs.Load() < enough; {
		p.send(`{"action":"ping"}`)
		for {
			var m struct {
				Action            string
				Version, Revision uint64
			}
			if err := json.Unmarshal([]byte(p.receive()), &m); err != nil {
				t.Fatal(err)
			}
			received[m.Version] = true
			if m.Action != "pong" {
				continue
			}
			for v := last + 1; v <= m.Revision; v++ {
				if !received[v] {
					t.Fatalf("the pong says %d, and the update %d has not come", m.Revision, v)
				}
			}
			last = m.Revision
			pongs.Add(1)
			break
		}
	}
	writing.Wait()
}
