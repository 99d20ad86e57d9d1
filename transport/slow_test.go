package transport_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/transport"
	"rtdb/transport/transporttest"
)

// A client that reads slowly takes the snapshot of a pattern while writers run. Versions
// of a key never go back, and in the end the client has exactly the server's values.
func TestASlowClientGetsAWholeSnapshot(t *testing.T) {
	t.Parallel()
	const keys = 100_000
	w := newWire(t, transport.Options{})
	for i := range keys {
		if _, err := w.keyspace.Set(t.Context(), fmt.Sprintf("device/%d/state", i), []byte(`{"on":true,"padding":"0123456789012345678901234567890123456789"}`)); err != nil {
			t.Fatal(err)
		}
	}
	p := w.dialVersioned(t, "rtdb.v1")
	done := make(chan struct{})
	var writers sync.WaitGroup
	for n := range 2 {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 3))
			for {
				select {
				case <-done:
					return
				default:
				}
				key := fmt.Sprintf("device/%d/state", random.IntN(keys/2)*2+n)
				var err error
				if random.IntN(5) == 0 {
					if _, err = w.keyspace.Delete(t.Context(), key); err != nil && strings.Contains(err.Error(), "no such key") {
						err = nil
					}
				} else {
					_, err = w.keyspace.Set(t.Context(), key, fmt.Append(nil, random.IntN(1000)))
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	stop := sync.OnceFunc(func() {
		close(done)
		writers.Wait()
	})
	t.Cleanup(stop)

	p.send(`{"action":"subscribe","pattern":"device/+/state","snapshot":true,"id":"all"}`)
	type update struct {
		ID      string
		Key     string
		Value   json.RawMessage
		Deleted bool
		Version uint64
	}
	held := make(map[string]update, keys)
	messages := 0
	read := func() (u update) {
		t.Helper()
		if err := json.Unmarshal([]byte(p.receive()), &u); err != nil {
			t.Fatal(err)
		}
		if messages++; messages%20_000 == 0 {
			time.Sleep(50 * time.Millisecond) // a slow client
		}
		if u.ID == "" {
			if u.Version <= held[u.Key].Version {
				t.Fatalf("%s came at version %d after %d", u.Key, u.Version, held[u.Key].Version)
			}
			held[u.Key] = u
		}
		return u
	}
	for read().ID == "" {
	}
	if len(held) < keys*9/10 { // keys may have been deleted before the snapshot came to them
		t.Errorf("the mark came after %d keys of %d", len(held), keys)
	}
	stop()
	w.settle()
	p.send(`{"action":"ping","id":"end"}`)
	for read().ID == "" {
	}
	there := 0
	for i := range keys {
		key := fmt.Sprintf("device/%d/state", i)
		e, err := w.keyspace.Get(key)
		if u, ok := held[key]; err == nil && (u.Version != e.Version || !bytes.Equal(u.Value, e.Value)) || err != nil && ok && !u.Deleted {
			t.Fatalf("%s is %s (%v), the client has %+v", key, e.Value, err, u)
		}
		if err == nil {
			there++
		}
	}
	t.Logf("%d messages for %d keys, of which %d are there in the end", messages, keys, there)
}

// A client that asks for much more than may wait for it, and reads late, gets every
// reply.
func TestAClientMayAskFasterThanItReads(t *testing.T) {
	w := newWire(t, transport.Options{})
	w.want(t, "POST", "/data/k", `{"value":"`+strings.Repeat("x", 60_000)+`"}`, 200, "")
	p, other := w.dial(t), w.dial(t)
	const n = 400 // 24 MB of replies
	var sender sync.WaitGroup
	sender.Go(func() {
		for i := range n {
			p.send(fmt.Sprintf(`{"action":"get","key":"k","id":%d}`, i))
		}
	})
	other.ask(`{"action":"ping","id":1}`, `{"id":1,"ok":true,"action":"pong"}`)
	for i := range n {
		if got := p.receive(); !strings.HasPrefix(got, fmt.Sprintf(`{"id":%d,"ok":true,`, i)) {
			t.Fatalf("answer %d is %.60s", i, got)
		}
	}
	sender.Wait()
}

// A client that reads nothing is closed after 10 s. Other clients do not notice.
func TestAClientThatDoesNotReadIsClosed(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 10 s")
	}
	t.Parallel()
	w := newWire(t, transport.Options{FlushInterval: transport.DefaultFlushInterval})
	stalled := w.dial(t)
	screens := make([]*peer, 20)
	for i := range screens {
		screens[i] = w.dial(t)
	}
	for _, p := range append(screens, stalled) {
		p.ask(`{"action":"subscribe","topic":"t","id":1}`, `{"id":1,"ok":true,"revision":0,"epoch":"e"}`)
		p.ask(`{"action":"subscribe","key":"k","id":1}`, `{"id":1,"ok":true,"revision":0,"epoch":"e"}`)
	}
	value := strings.Repeat("x", 60_000)
	start := time.Now()
	var slowest time.Duration
	writes := 0
	for len(w.log.lines(t, "session closed")) == 0 {
		began := time.Now()
		if _, err := w.keyspace.Set(t.Context(), "k", []byte(quote(value))); err != nil {
			t.Fatal(err)
		}
		w.settle()
		if err := w.keyspace.Publish(t.Context(), "t", []byte(quote(value))); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(began))
		for _, p := range screens {
			p.want(`{"key":"k","value":"`+value+`"}`, `{"topic":"t","value":"`+value+`"}`)
		}
		writes++
		if time.Since(start) > patience {
			t.Fatal("a client that reads nothing is still there")
		}
	}
	if took := time.Since(start); took < transport.StallTimeout {
		t.Errorf("closed after %v, want no less than %v", took, transport.StallTimeout)
	}
	e := w.log.await(t, "session closed", 1)[0]
	count := func(name string) int { return int(e[name].(float64)) }
	const unheard = 2 * 5 // writes between the end of its subscriptions and the line of the log
	if e["code"] != 4008.0 || e["reason"] != "too slow" || count("dropped") == 0 || count("conflated") == 0 ||
		count("delivered")+count("conflated")+count("dropped") < 2*writes-unheard {
		t.Errorf("logged %v after %d writes, want code 4008 and all but %d of them", e, 2*writes, unheard)
	}
	lag := w.log.await(t, "session lagging", 1)[0]
	if n := int(lag["pending_bytes"].(float64)); n > 1<<20+3*len(value) {
		t.Errorf("%d bytes waited, want 1 MiB of the topic and one value of the key at most", n)
	}
	for _, p := range screens {
		p.ask(`{"action":"ping","id":2}`, `{"id":2,"ok":true,"action":"pong"}`)
	}
	t.Logf("%d writes of 60 kB to each of %d in %v; the slowest took %v", 2*writes, len(screens), time.Since(start), slowest)
}

// A client that reads too slowly for a topic is told how many messages it has missed.
func TestASlowClientIsToldWhatItMissed(t *testing.T) {
	w := newWire(t, transport.Options{})
	slow := w.dial(t)
	slow.ask(`{"action":"subscribe","topic":"t","id":1}`, `{"id":1,"ok":true,"revision":0,"epoch":"e"}`)
	const all = 400 // more than the kernel and the session keep
	padding := strings.Repeat("x", 60_000)
	publish := func(n int) {
		t.Helper()
		if err := w.keyspace.Publish(t.Context(), "t", fmt.Appendf(nil, `{"n":%d,"x":"%s"}`, n, padding)); err != nil {
			t.Fatal(err)
		}
	}
	published := 0
	for published < all {
		publish(published)
		published++
	}
	received := make(chan string)
	go func() {
		defer close(received)
		for {
			_, m, err := slow.ReadMessage()
			if err != nil {
				return // the test closes it below
			}
			received <- string(m)
		}
	}()
	next, missed := 0, 0
	more := time.NewTicker(10 * time.Millisecond)
	defer more.Stop()
	for late := time.After(patience); next < all; {
		select {
		case <-late:
			t.Fatalf("after %v the client is at message %d of %d", patience, next, published)
		case <-more.C: // until a message is queued again; the client hears of the gap before it
			publish(published)
			published++
		case text := <-received:
			var m struct {
				Missed int
				Value  struct{ N int }
			}
			if err := json.Unmarshal([]byte(text), &m); err != nil {
				t.Fatal(err)
			}
			switch {
			case m.Missed > 0:
				missed += m.Missed
				next += m.Missed
			case m.Value.N != next:
				t.Fatalf("message %d came, want %d or a gap", m.Value.N, next)
			default:
				next++
			}
		}
	}
	if missed == 0 || missed >= next {
		t.Errorf("missed %d of %d", missed, next)
	}
	if err := slow.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "")); err != nil {
		t.Fatal(err)
	}
	for range received { // read the rest
	}
	e := w.log.await(t, "session closed", 1)[0]
	if all := int(e["delivered"].(float64) + e["dropped"].(float64)); e["code"] != 1000.0 || all != published {
		t.Errorf("logged %v, want all %d", e, published)
	}
}

// The log has a client that lags, with how many bytes wait and for how long.
func TestALaggingClientIsLogged(t *testing.T) {
	inBubble(t, func(t *testing.T, p *piped) {
		c := p.dial(t)
		if err := c.WriteMessage(websocket.TextMessage, []byte(`{"action":"subscribe","topic":"t"}`)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for i := range 301 {
			if err := p.keyspace.Publish(t.Context(), "t", fmt.Append(nil, i%10)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		time.Sleep(2 * time.Second)
		for range 301 {
			if _, _, err := c.ReadMessage(); err != nil {
				t.Fatal(err)
			}
		}
		e := p.log.lines(t, "session lagging")
		if len(e) != 1 || e[0]["level"] != "warn" || e[0]["pending_keys"] != 1.0 || e[0]["pending_bytes"] != 301.0*23 ||
			e[0]["lag_ms"] != 250.0 || e[0]["session"] == nil {
			t.Errorf("logged %v", e)
		}
		_ = c.Close()
		synctest.Wait()
	})
}

// A client that stops reading is logged after a second, although little waits for it and
// nothing is written after the update that is stuck. The operator sees it, too. A client
// that keeps up is not logged.
func TestAClientThatStopsReadingIsLoggedAfterASecond(t *testing.T) {
	t.Parallel()
	stalledEvents := func(t *testing.T, w *wire) net.Conn {
		c, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := c.Write([]byte("GET /events?key=k HTTP/1.1\r\nHost: " + w.addr + "\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		return c
	}
	stalledSocket := func(t *testing.T, w *wire) net.Conn {
		p := w.dial(t)
		p.ask(`{"action":"subscribe","key":"k","id":1}`, `{"id":1,"ok":true,"revision":0,"epoch":"e"}`)
		return p.NetConn()
	}
	for route, stalled := range map[string]func(*testing.T, *wire) net.Conn{"/ws": stalledSocket, "/events": stalledEvents} {
		t.Run(route, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, transport.Options{FlushInterval: transport.DefaultFlushInterval})
			c := stalled(t, w)
			_ = c.(*net.TCPConn).SetReadBuffer(16 << 10)
			list := func() (lagging listedSession) {
				t.Helper()
				_, text := w.call(t, "GET", "/sessions?sort=lag", "")
				var body struct{ Sessions []listedSession }
				if err := json.Unmarshal([]byte(text), &body); err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				for _, s := range body.Sessions {
					if s.Remote == c.LocalAddr().String() {
						lagging = s
					}
				}
				return lagging
			}
			transporttest.Eventually(t, "subscribed", func() bool { return list().Subscriptions == 1 })
			socket, stream := w.dial(t), w.feed(t, "key=k") // they keep up
			socket.ask(`{"action":"subscribe","key":"k","id":1}`, `{"id":1,"ok":true,"revision":0,"epoch":"e"}`)
			stream.want("id: e.0")

			value := quote(strings.Repeat("x", 8000))
			more := time.NewTicker(10 * time.Millisecond)
			defer more.Stop()
			for late := time.After(patience); len(w.log.lines(t, "session lagging")) == 0; {
				select {
				case <-more.C: // until an update is stuck
				case <-late:
					t.Fatal("a client that reads nothing is not logged")
				}
				switch s := list(); {
				case s.PendingBytes == nil:
					t.Fatal("the session ended, and was not logged before")
				case *s.PendingBytes > 0:
					continue
				}
				if _, err := w.keyspace.Set(t.Context(), "k", []byte(value)); err != nil {
					t.Fatal(err)
				}
				socket.want(`{"key":"k","value":` + value + `}`)
				_ = stream.block()
			}
			s := list()
			e := w.log.lines(t, "session lagging")
			bytes, lag := e[0]["pending_bytes"].(float64), e[0]["lag_ms"].(float64)
			if len(e) != 1 || e[0]["session"] != s.ID || e[0]["pending_keys"] != 1.0 ||
				bytes < 8000 || bytes > 3*8100 || lag < 1000 || lag > 2000 {
				t.Errorf("logged %v, want %s with one key, an update and 1 to 2 s", e, s.ID)
			}
			if *s.LagMS+1 < lag || *s.PendingKeys != 1 || *s.PendingBytes != bytes {
				t.Errorf("listed with %v ms, %v keys, %v bytes; logged %v", *s.LagMS, *s.PendingKeys, *s.PendingBytes, e)
			}
			if n, age := w.metric(t, "rtdb_lagging_sessions"), w.metric(t, "rtdb_lag_seconds"); n != 1 || age*1000 < lag {
				t.Errorf("counted %v lagging sessions and %v s, logged %v", n, age, e)
			}
		})
	}
}
