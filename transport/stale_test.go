package transport_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/transport"
)

// wantStale expects a notice that the state may be old for at least a time.
func wantStale(t *testing.T, notice string, since time.Duration) {
	t.Helper()
	var m struct {
		Action  string
		SinceMS *int64 `json:"since_ms"`
	}
	err := json.Unmarshal([]byte(notice), &m)
	if err != nil || m.Action != "stale" || m.SinceMS == nil || *m.SinceMS < since.Milliseconds() || *m.SinceMS > since.Milliseconds()+patience.Milliseconds() {
		t.Fatalf("the client got %s, want that the state is stale for %v", notice, since)
	}
}

// wantStaleEvent is wantStale for an event stream.
func wantStaleEvent(t *testing.T, f *feed, since time.Duration) {
	t.Helper()
	event := f.block()
	data, ok := strings.CutPrefix(event, "event: stale|data: ")
	if !ok {
		t.Fatalf("the stream got %s, want event: stale", event)
	}
	wantStale(t, data, since)
}

// Clients are told that the state may be old, and that it is current again, each once, in
// order with their updates. Plain clients are not.
func TestClientsAreToldThatTheStateIsStale(t *testing.T) {
	w := newWire(t, transport.Options{})
	early, plain := w.dialVersioned(t, "rtdb.v1"), w.dial(t)
	for _, p := range []*peer{early, plain} {
		p.ask(`{"action":"subscribe","key":"k","id":1}`, `{"id":1,"ok":true,"revision":0,"epoch":"e"}`)
	}
	stream := w.feed(t, "key=k")
	stream.want("id: e.0")
	w.Fresh() // it is

	w.Stale(time.Now().Add(-3 * time.Second))
	w.Stale(time.Now())
	wantStale(t, early.receive(), 3*time.Second)
	wantStaleEvent(t, stream, 3*time.Second)
	late := w.dialVersioned(t, "rtdb.v1")
	wantStale(t, late.receive(), 3*time.Second)
	lateStream := w.feed(t, "key=k&snapshot=true")
	wantStaleEvent(t, lateStream, 3*time.Second)
	lateStream.want(`id: e.0|event: synced|data: {"synced":true,"revision":0,"epoch":"e"}`)
	w.want(t, "PUT", "/data/k", `{"value":1}`, 200, `"version":1`) // the store decides about writes
	w.settle()

	w.Fresh()
	w.Fresh()
	early.want(`{"key":"k","value":1,"version":1,"at":1000}`, `{"action":"fresh"}`)
	late.want(`{"action":"fresh"}`)
	stream.want(`id: e.1|data: {"key":"k","value":1}`, `event: fresh|data: {"action":"fresh"}`)
	lateStream.want(`id: e.1|data: {"key":"k","value":1}`, `event: fresh|data: {"action":"fresh"}`)
	plain.want(`{"key":"k","value":1}`)
	for _, p := range []*peer{early, late} {
		p.ask(`{"action":"ping","id":1}`, `{"id":1,"ok":true,"action":"pong","revision":1,"epoch":"e"}`)
	}
	plain.ask(`{"action":"ping","id":1}`, `{"id":1,"ok":true,"action":"pong"}`)
	w.dialVersioned(t, "rtdb.v1").ask(`{"action":"ping","id":1}`, `{"id":1,"ok":true,"action":"pong","revision":1,"epoch":"e"}`)
}

// A client whose write waits for the store is told at once.
func TestAClientWhoseWriteWaitsIsToldAtOnce(t *testing.T) {
	w := newWire(t, transport.Options{})
	waits, release := make(chan struct{}), make(chan struct{})
	w.store.hold(func(keyspace.Record) {
		close(waits)
		<-release
	})
	p := w.dialVersioned(t, "rtdb.v1")
	p.send(`{"action":"set","key":"k","value":1,"id":1}`)
	<-waits
	w.Stale(time.Now())
	wantStale(t, p.receive(), 0)
	close(release)
	p.want(`{"id":1,"ok":true,"version":1}`)
}

// Clients connect while the state becomes stale and fresh again, from two goroutines. The
// last notice that each client gets is right.
func TestTheLastNoticeIsRight(t *testing.T) {
	w := newWire(t, transport.Options{})
	var changes, clients sync.WaitGroup
	stop := make(chan struct{})
	for _, change := range []func(){func() { w.Stale(time.Now()) }, w.Fresh} {
		changes.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Microsecond):
					change()
				}
			}
		})
	}
	var mu sync.Mutex
	var all []*peer
	for range 4 {
		clients.Go(func() {
			for range 25 {
				p := w.dialVersioned(t, "rtdb.v1")
				mu.Lock()
				all = append(all, p)
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	close(stop)
	changes.Wait()
	w.Stale(time.Now())
	for _, p := range all {
		p.send(`{"action":"ping","id":1}`)
		last, changed := "fresh", false
		for m := p.receive(); !strings.HasPrefix(m, `{"id":1`); m = p.receive() {
			changed = changed || strings.Contains(m, last)
			last = "fresh"
			if strings.Contains(m, "stale") {
				last = "stale"
			}
		}
		if last != "stale" {
			t.Fatalf("the last notice is %q", last)
		}
	}
}

// A node that is cut off, or differs from the others, is not ready, and answers requests.
func TestANodeThatIsNotReady(t *testing.T) {
	var mu sync.Mutex
	var reason error
	w := newWire(t, transport.Options{Node: "node-1", Ready: func() error {
		mu.Lock()
		defer mu.Unlock()
		return reason
	}})
	set := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		reason = err
	}
	w.want(t, "GET", "/readyz", "", 200, `{"status":"ok"}`)
	set(errors.New("cut off from NATS for 4 s"))
	answer, text := w.call(t, "GET", "/readyz", "")
	want := `{"status":"not ready","error":{"code":"unavailable","message":"the node is not ready: cut off from NATS for 4 s"}}`
	if answer.StatusCode != 503 || text != want || answer.Header.Get("Retry-After") != "1" {
		t.Errorf("GET /readyz: %d %s", answer.StatusCode, text)
	}
	w.want(t, "GET", "/healthz", "", 200, `{"status":"ok"}`)
	w.want(t, "PUT", "/data/k", `{"value":1}`, 200, "")
	w.want(t, "GET", "/data/k", "", 200, "")
	set(nil)
	w.want(t, "GET", "/readyz", "", 200, `{"status":"ok"}`)
	w.dial(t)
	w.log.await(t, "session opened", 1)
	w.want(t, "GET", "/sessions", "", 200, `{"node":"node-1","sessions":[{"id":"`)
	w.want(t, "GET", "/metrics", "", 200, `rtdb_node_info{node="node-1"} 1`)
}

// A readiness check says why the state is not loaded yet.
func TestANodeThatWaits(t *testing.T) {
	w, _ := newLoadingWire(t, transport.Options{Ready: func() error { return errors.New("not connected to NATS") }})
	w.want(t, "GET", "/readyz", "", 503,
		`{"status":"loading","error":{"code":"unavailable","message":"the node is not ready: not connected to NATS"}}`)
}

// A writer learns whether its write may have been made.
func TestWritesOfANodeThatIsCutOff(t *testing.T) {
	for _, test := range []struct {
		err           error
		message, wait string
	}{
		{keyspace.ErrCutOff, "this node is cut off from the others, so the write was not made: try again later; reads and subscriptions go on", "1"},
		{keyspace.ErrUnknownOutcome, "the node could not learn whether the write was made: the write may have been made; read the key before you write it again", ""},
	} {
		w := newWireOn(t, keyspace.Options{Refuse: func() error { return test.err }}, transport.Options{})
		answer, text := w.call(t, "PUT", "/data/k", `{"value":1}`)
		want := fmt.Sprintf(`{"error":{"code":"unavailable","message":%q}}`, test.message)
		if answer.StatusCode != 503 || text != want || answer.Header.Get("Retry-After") != test.wait {
			t.Errorf("%d %s %q, want %s", answer.StatusCode, text, answer.Header.Get("Retry-After"), want)
		}
	}
}

// A gap of unknown size has the same text for all clients.
func TestTheTextOfAGap(t *testing.T) {
	for target, want := range map[keyspace.Target]string{
		keyspace.Topic("a/b"):        `{"topic":"a/b","missed":true}`,
		keyspace.TopicPattern("a/+"): `{"topicPattern":"a/+","missed":true}`,
	} {
		plain, versioned := transport.EncodeUpdate(&keyspace.Update{Target: target, Missed: true})
		if string(plain) != want || string(versioned) != want {
			t.Errorf("the text is %s, with versions %s; want %s", plain, versioned, want)
		}
	}
}
