package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
)

// A witness is told of the events of a node.
type witness struct {
	mu        sync.Mutex
	failure   error
	declared  bool     // dead
	foreign   []string // subjects
	disagrees int
}

func (w *witness) observer() jetstream.Observer {
	return jetstream.Observer{
		DeclaredDead: func() { w.mu.Lock(); defer w.mu.Unlock(); w.declared = true },
		Failed:       func(err error) { w.mu.Lock(); defer w.mu.Unlock(); w.failure = err },
		Foreign: func(subject string, _ uint64) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.foreign = append(w.foreign, subject)
		},
		Disagrees: func(string, jetstream.Digest, jetstream.Digest) { w.mu.Lock(); defer w.mu.Unlock(); w.disagrees++ },
	}
}

// observed returns the options of two nodes.
func observed(w *[2]witness) []jetstream.Options {
	all := nodes(2)
	for i := range all {
		all[i].Observer = w[i].observer()
	}
	return all
}

func (w *witness) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failure
}

func (w *witness) sawForeign(subject string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.foreign {
		if s == subject {
			return true
		}
	}
	return false
}

// bareStreamOf returns a client of JetStream that is not rtdb.
func bareStreamOf(t *testing.T, c *natstest.Cluster) natsjs.JetStream {
	t.Helper()
	js, err := natsjs.New(c.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// within returns a context for calls of a bare client.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// A stream that was deleted by hand is another one when it is made again. The nodes fail, and
// neither write values to it that rest on the old one, nor show its values.
func TestTheStreamIsMadeAnew(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"at once", "with another node", "later"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := natstest.Start(t, natstest.Options{})
			js := bareStreamOf(t, c)
			var w [2]witness
			r := newTrial(t, c.URL(), observed(&w)...)
			r.writeEverywhere()
			r.more(60)
			r.fault()
			if err := js.DeleteStream(within(t), jetstream.DefaultStream); err != nil {
				t.Fatal(err)
			}
			if name == "later" {
				for _, m := range r.members {
					awaitCutOff(t, m)
				}
			}
			if _, err := js.CreateStream(within(t), jetstream.Config(jetstream.DefaultStream, 1)); err != nil {
				t.Fatal(err)
			}
			// A node of the new history makes its sequences higher than those of the old one.
			s, err := jetstream.Open(jetstream.Options{URL: c.URL(), Node: "new"})
			if err != nil {
				t.Fatal(err)
			}
			fresh := startOn(t, s, s)
			if name == "with another node" {
				for i := range 400 {
					if _, err := fresh.Set(t.Context(), fmt.Sprintf("k/%d", i%trialKeys), add(nil, 5000, 1)); err != nil {
						t.Fatal(err)
					}
				}
			}
			for i := range w {
				eventually(t, patience, "the failure of a node", func() bool { return w[i].failed() != nil })
			}
			took := time.Since(r.began)
			r.stop()
			r.running.Wait()
			acked, mixed := r.acked(), 0
			for i := range trialKeys {
				key := fmt.Sprintf("k/%d", i)
				e, err := fresh.Get(key)
				if err == nil && (name != "with another node" || string(e.Value) != string(add(nil, 5000, 1))) {
					mixed++
					t.Errorf("the new stream has %s with the value %.100s", key, e.Value)
				}
				for _, m := range r.members {
					if e, err := m.Get(key); err == nil && strings.Contains(string(e.Value), "5000") {
						mixed++
						t.Errorf("a node that fails has %s with the value %.100s", key, e.Value)
					}
				}
			}
			t.Logf("| the stream deleted and made anew, %s | acknowledged %d | values of one history in the other %d, out of order %d | nodes failed after %.1f s |",
				name, acked, mixed, r.found.order, took.Seconds())
			if r.found != (violations{}) {
				t.Errorf("violations: %+v", r.found)
			}
			for i, m := range r.members {
				_, err := m.Set(t.Context(), "other", []byte("1"))
				if !errors.Is(err, keyspace.ErrCutOff) || !strings.Contains(err.Error(), "made anew") {
					t.Errorf("a write on a node that has failed: %v", err)
				}
				if i == 0 {
					t.Logf("the failure is: %v", w[i].failed())
				}
			}
		})
	}
}

// The keys' subjects, and those of beats and wills, get rubbish. The nodes skip it and go on.
func TestAnotherClientWritesToTheStream(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	js := bareStreamOf(t, c)
	var w [2]witness
	r := newTrial(t, c.URL(), observed(&w)...)
	r.writeEverywhere()
	r.more(60)
	r.fault()
	stream, err := js.Stream(within(t), jetstream.DefaultStream)
	if err != nil {
		t.Fatal(err)
	}
	publish := func(subject string, data []byte) {
		t.Helper()
		if _, err := js.Publish(within(t), subject, data); err != nil {
			t.Fatalf("publish to %s: %v", subject, err)
		}
	}
	foreign := []string{"rtdb.k.k.0", "rtdb.k.k.1", "rtdb.k.k.2", "rtdb.k.new", "rtdb.k.not=a", "rtdb.k.copied"}
	for range choose(3, 30) {
		publish("rtdb.k.k.0", []byte("rubbish"))
		publish("rtdb.k.k.1", nil)
		publish("rtdb.k.new", []byte("rubbish"))
		publish("rtdb.k.not=a", []byte("rubbish"))
		publish("rtdb.b.rubbish", []byte("rubbish"))
		publish("rtdb.b.0000000000000001", []byte(`{"number":-1}`))
		publish("rtdb.w.rubbish.x", []byte("rubbish"))
		publish("rtdb.w.0000000000000002.x", []byte(`{"wills":[{"key":"k/3","value":"AA=="}]}`))
		copied, err := stream.GetLastMsgForSubject(within(t), "rtdb.k.k.2")
		if err != nil {
			t.Fatal(err)
		}
		publish("rtdb.k.copied", copied.Data)
		publish("rtdb.k.k.2", copied.Data) // an old write of the key itself
		r.more(20)
	}
	// A message that only looks as if the server has published it again.
	nc := c.Connect(t)
	if err := nc.Publish("rtdb.r.rtdb.k.k.0", []byte("rubbish")); err != nil {
		t.Fatal(err)
	}
	const far = "rtdb.k.far"
	foreign = append(foreign, far)
	if err := nc.PublishMsg(&nats.Msg{Subject: "rtdb.r." + far, Data: []byte("rubbish"), Header: nats.Header{
		"Nats-Subject": {far}, "Nats-Sequence": {"1000000000"}, "Nats-Time-Stamp": {time.Now().Format(time.RFC3339Nano)},
	}}); err != nil {
		t.Fatal(err)
	}
	r.healthy()
	for i := range w {
		for _, subject := range foreign {
			eventually(t, patience, fmt.Sprintf("a report of %s on node %d", subject, i), func() bool { return w[i].sawForeign(subject) })
		}
		if err := r.members[i].store.Ready(); err != nil {
			t.Errorf("a node is not ready: %v", err)
		}
	}
	r.finish("another client writes rubbish to the stream")
}

// Rubbish takes the place of a key in the stream. A node that has the value puts it back, so that
// nodes that start later have it. Its version stays, and subscribers are told nothing.
func TestRubbishReplacesAKey(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	js := bareStreamOf(t, c)
	a := start(t, jetstream.Options{URL: c.URL(), Node: "a"})
	if _, err := a.Write(t.Context(), "k", keyspace.Change{Value: []byte("1"), TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	before, err := a.Get("k")
	if err != nil {
		t.Fatal(err)
	}
	updates := a.listen(t, keyspace.Key("k"))
	if _, err := js.Publish(within(t), "rtdb.k.k", []byte("rubbish")); err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(within(t), jetstream.DefaultStream)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the value is put back", func() bool {
		m, err := stream.GetLastMsgForSubject(within(t), "rtdb.k.k")
		return err == nil && string(m.Data) != "rubbish"
	})
	b := start(t, jetstream.Options{URL: c.URL(), Node: "b"})
	after, err := b.Get("k")
	if err != nil || string(after.Value) != "1" || after.Version != before.Version || after.Written != before.Written || after.TTL < 59*time.Minute {
		t.Errorf("a new node has %+v, %v, want %+v", after, err, before)
	}
	e, err := b.Write(t.Context(), "k", keyspace.Change{Value: []byte("2"), If: func(v uint64) bool { return v == before.Version }})
	if err != nil {
		t.Errorf("a write over the value: %v, %v", e, err)
	}
	if got := updates.next(t); got != "k 2" {
		t.Errorf("a subscriber got %s first", got)
	}
	for _, n := range []node{a, b} {
		if err := n.store.Ready(); err != nil {
			t.Errorf("a node is not ready: %v", err)
		}
	}
}

// A node does not go on without the writes of a newer version of rtdb that it cannot read.
func TestANewerFormat(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	failed := make(chan error, 1)
	a := start(t, jetstream.Options{URL: c.URL(), Node: "a", Observer: jetstream.Observer{Failed: func(err error) { failed <- err }}})
	data := jetstream.EncodeCommit("rtdb.k.k", []keyspace.Record{{Value: []byte("1")}})
	data = data[:len(data)-4]
	data[0]++
	if _, err := bareStreamOf(t, c).Publish(within(t), "rtdb.k.k", jetstream.Seal("rtdb.k.k", data)); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-failed:
		t.Log(err)
	case <-time.After(patience):
		t.Fatal("the node goes on")
	}
	if _, err := a.Set(t.Context(), "other", []byte("1")); !errors.Is(err, keyspace.ErrUnavailable) {
		t.Errorf("a write afterwards: %v", err)
	}
}

func TestAKeyIsPurged(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	js := bareStreamOf(t, c)
	var w [2]witness
	r := newTrial(t, c.URL(), observed(&w)...)
	r.writeEverywhere()
	r.more(60)
	r.fault()
	stream, err := js.Stream(within(t), jetstream.DefaultStream)
	if err != nil {
		t.Fatal(err)
	}
	for range choose(2, 10) {
		if err := stream.Purge(within(t), natsjs.WithPurgeSubject("rtdb.k.k.*")); err != nil {
			t.Fatal(err)
		}
		r.more(20)
	}
	r.healthy()
	r.finish("keys purged by hand, under writers")
}

// A node that was cut off for longer than the stream keeps beats finds none of its own. It goes
// on as another one. The wills of a node that died meanwhile are carried out.
func TestBeatsAreForgotten(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	js := bareStreamOf(t, c)
	var w [2]witness
	r := newTrial(t, c.URL(), observed(&w)...)
	r.writeEverywhere()
	r.more(60)
	r.fault()
	stream, err := js.Stream(within(t), jetstream.DefaultStream)
	if err != nil {
		t.Fatal(err)
	}
	dead := start(t, jetstream.Options{URL: c.URL(), Node: "dead"})
	if err := dead.store.KeepWills(t.Context(), "s", keyspace.WillOwner{}, []keyspace.Will{will("left", "1")}); err != nil {
		t.Fatal(err)
	}
	dead.store.Crash()
	if err := stream.Purge(within(t), natsjs.WithPurgeSubject("rtdb.b.*")); err != nil {
		t.Fatal(err)
	}
	for i := range w {
		eventually(t, patience, "a new life of the node", func() bool {
			w[i].mu.Lock()
			defer w[i].mu.Unlock()
			return w[i].declared
		})
	}
	r.healthy()
	if isLong() {
		r.members[0].await(t, "left", patience)
	}
	r.finish("no beats left in the stream")
}
