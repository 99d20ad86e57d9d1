package transport_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/transport"
)

// with makes a REST request that has headers, name and value in turn.
func (w *wire) with(t testing.TB, method, path, body string, headers ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+w.addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	_, err = text.ReadFrom(answer.Body)
	if closed := answer.Body.Close(); err != nil || closed != nil {
		t.Fatal(err, closed)
	}
	if answer.StatusCode >= 400 && method != http.MethodHead {
		var f struct {
			Error struct {
				Code    string
				Version *uint64
			}
		}
		if err := json.Unmarshal(text.Bytes(), &f); err != nil || f.Error.Code == "" {
			t.Errorf("%s %s: %d %s", method, path, answer.StatusCode, &text)
		}
		if mismatch := answer.StatusCode == http.StatusPreconditionFailed; mismatch != (f.Error.Version != nil) ||
			mismatch != (f.Error.Code == "version_mismatch") {
			t.Errorf("%s %s: %d %s", method, path, answer.StatusCode, &text)
		}
	}
	return answer
}

func TestConditions(t *testing.T) {
	const match, none = "If-Match", "If-None-Match"
	for _, c := range []struct {
		method  string
		key     string // "k" is at version 1; there is no "none"
		headers []string
		status  int
	}{
		{"GET", "k", []string{none, `"1"`}, 304},
		{"HEAD", "k", []string{none, `"1"`}, 304},
		{"GET", "k", []string{none, `W/"1"`}, 304},
		{"GET", "k", []string{none, `"0", "1"`}, 304},
		{"GET", "k", []string{none, `"0"`, none, `"1"`}, 304},
		{"GET", "k", []string{none, `,"1",,`}, 304},
		{"GET", "k", []string{none, `*`}, 304},
		{"GET", "k", []string{none, `"2"`}, 200},
		{"GET", "k", []string{none, `"01"`}, 200},
		{"GET", "k", []string{none, `"a b"`}, 400},
		{"GET", "k", []string{none, `1`}, 400},
		{"GET", "k", []string{none, ``}, 400},
		{"GET", "k", []string{none, `"1`}, 400},
		{"GET", "k", []string{none, `"1" "2"`}, 400},
		{"GET", "k", []string{none, `*, "1"`}, 400},
		{"GET", "k", []string{match, `"1"`}, 200},
		{"GET", "k", []string{match, `"2"`}, 412},
		{"GET", "none", []string{none, `"1"`}, 404},

		{"POST", "k", []string{match, `"1"`}, 200},
		{"PUT", "k", []string{match, `"1"`}, 200},
		{"PATCH", "k", []string{match, `"1"`}, 200},
		{"DELETE", "k", []string{match, `"1"`}, 204},
		{"POST", "k", []string{match, `"2"`}, 412},
		{"PUT", "k", []string{match, `"2"`}, 412},
		{"PATCH", "k", []string{match, `"2"`}, 412},
		{"DELETE", "k", []string{match, `"2"`}, 412},
		{"POST", "k", []string{match, `"7", "1"`}, 200},
		{"POST", "k", []string{match, `W/"1"`}, 412},
		{"POST", "k", []string{match, `*`}, 200},
		{"POST", "none", []string{match, `*`}, 412},
		{"DELETE", "none", []string{match, `"1"`}, 412},
		{"POST", "k", []string{none, `*`}, 412},
		{"PUT", "k", []string{none, `*`}, 412},
		{"PATCH", "k", []string{none, `*`}, 412},
		{"DELETE", "k", []string{none, `*`}, 412},
		{"POST", "none", []string{none, `*`}, 200},
		{"PUT", "none", []string{none, `*`}, 200},
		{"PATCH", "none", []string{none, `*`}, 200},
		{"DELETE", "none", []string{none, `*`}, 404},
		{"POST", "k", []string{none, `"1"`}, 412},
		{"POST", "k", []string{none, `"2"`}, 200},
		{"POST", "k", []string{match, `1`}, 400},
		{"DELETE", "k", []string{match, `"1`}, 400},
		{"PATCH", "k", []string{none, `x`}, 400},
	} {
		t.Run(fmt.Sprint(c.method, " ", c.key, c.headers), func(t *testing.T) {
			w := newWire(t, transport.Options{})
			w.want(t, "POST", "/data/k", `{"value":{"a":1}}`, 200, "")
			body := map[string]string{"POST": `{"value":2}`, "PUT": `{"value":2}`, "PATCH": `{"b":1}`}[c.method]
			answer := w.with(t, c.method, "/data/"+c.key, body, c.headers...)
			if answer.StatusCode != c.status {
				t.Fatalf("%d, want %d", answer.StatusCode, c.status)
			}
			tag := map[int]string{200: `"2"`, 204: `"2"`, 304: `"1"`}[c.status]
			if c.method == "GET" && c.status == 200 {
				tag = `"1"`
			}
			if got := answer.Header.Get("ETag"); got != tag {
				t.Errorf("ETag %s, want %s", got, tag)
			}
			if cache := answer.Header.Get("Cache-Control"); cache != "no-store" {
				t.Errorf("Cache-Control %q", cache)
			}
			written := c.status < 300 && c.method != "GET" && c.method != "HEAD"
			if e, err := w.keyspace.Get("k"); c.key == "k" && c.method != "DELETE" && (err != nil || (e.Version == 2) != written) {
				t.Errorf("the key is at %d, %v", e.Version, err)
			}
		})
	}
}

// Of many writers that want the same version one is made, by REST as by
// WebSocket and in batches.
func TestOfRacingWritersOneWins(t *testing.T) {
	w := newWire(t, transport.Options{})
	w.want(t, "POST", "/data/n", `{"value":0}`, 200, "")
	const writers, each = 6, 30
	var wg sync.WaitGroup
	for n := range writers {
		p := w.dial(t)
		wg.Go(func() {
			for range each {
				for won := false; !won; {
					e, err := w.keyspace.Get("n")
					if err != nil {
						t.Error(err)
						return
					}
					var v int
					if err := json.Unmarshal(e.Value, &v); err != nil {
						t.Error(err)
						return
					}
					switch n % 3 {
					case 0:
						answer := w.with(t, "PUT", "/data/n", fmt.Sprintf(`{"value":%d}`, v+1), "If-Match", fmt.Sprintf(`"%d"`, e.Version))
						won = answer.StatusCode == 200
					case 1:
						p.send(fmt.Sprintf(`{"id":1,"action":"set","key":"n","value":%d,"ifVersion":%d}`, v+1, e.Version))
						won = errorCode(t, p.receive()) == ""
					case 2:
						_, text := w.call(t, "POST", "/data", fmt.Sprintf(`{"items":[{"key":"n","value":%d,"ifVersion":%d}]}`, v+1, e.Version))
						won = !strings.Contains(text, "version_mismatch")
					}
				}
			}
		})
	}
	wg.Wait()
	w.want(t, "GET", "/data/n", "", 200, fmt.Sprintf(`"value":%d`, writers*each))
}

// dialVersioned connects with the subprotocol that has versions in updates.
func (w *wire) dialVersioned(t testing.TB, offered ...string) *peer {
	t.Helper()
	d := websocket.Dialer{Subprotocols: offered}
	c, answer, err := d.Dial("ws://"+w.addr+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if got := answer.Header.Get("Sec-WebSocket-Protocol"); got != c.Subprotocol() {
		t.Errorf("subprotocol %q", got)
	}
	return &peer{c, t}
}

func TestVersionsInUpdates(t *testing.T) {
	w := newWire(t, transport.Options{})
	versioned, other, plain := w.dialVersioned(t, "other", "rtdb.v1"), w.dialVersioned(t, "rtdb.v2"), w.dial(t)
	if versioned.Subprotocol() != "rtdb.v1" || other.Subprotocol() != "" {
		t.Errorf("subprotocols %q and %q", versioned.Subprotocol(), other.Subprotocol())
	}
	w.want(t, "POST", "/data/k", `{"value":1}`, 200, "")
	w.settle()
	for _, p := range []*peer{versioned, other, plain} {
		p.send(`{"action":"subscribe","pattern":"#","snapshot":true}`)
		p.send(`{"action":"subscribe","topic":"t","id":1}`)
	}
	versioned.want(`{"key":"k","value":1,"version":1}`)
	other.want(`{"key":"k","value":1}`)
	plain.want(`{"key":"k","value":1}`)
	for _, p := range []*peer{versioned, other, plain} {
		p.want(`{"synced":true,"revision":1}`, `{"id":1,"ok":true,"revision":1}`)
	}
	plain.send(`{"action":"delete","key":"k"}`)
	versioned.want(`{"key":"k","value":null,"deleted":true,"version":2}`)
	other.want(`{"key":"k","value":null,"deleted":true}`)
	plain.want(`{"key":"k","value":null,"deleted":true}`)
	plain.send(`{"action":"publish","topic":"t","value":1}`)
	for _, p := range []*peer{versioned, other, plain} {
		p.want(`{"topic":"t","value":1}`)
	}
}

// A key with a time to live, by each way to give one.
func TestTimesToLive(t *testing.T) {
	w := newWire(t, transport.Options{})
	p := w.dial(t)
	p.ask(`{"action":"subscribe","pattern":"#","id":1}`, `{"id":1,"ok":true,"revision":0}`)
	p.send(`{"action":"set","key":"a","value":1,"ttl":0.05}`)
	p.want(`{"key":"a","value":1}`, `{"key":"a","value":null,"deleted":true}`)
	p.send(`{"action":"patch","key":"b","value":1,"ttl":0.05}`)
	p.want(`{"key":"b","value":1}`, `{"key":"b","value":null,"deleted":true}`)
	w.want(t, "POST", "/data/c", `{"value":1,"ttl":0.05}`, 200, "")
	p.want(`{"key":"c","value":1}`, `{"key":"c","value":null,"deleted":true}`)
	w.want(t, "POST", "/data", `{"items":[{"key":"d","value":1,"ttl":0.05}]}`, 200, "")
	p.want(`{"key":"d","value":1}`, `{"key":"d","value":null,"deleted":true}`)
	w.want(t, "POST", "/data/e", `{"value":1,"ttl":0.1}`, 200, "")
	w.want(t, "PATCH", "/data/e", `2`, 200, "") // keeps it
	p.want(`{"key":"e","value":1}`, `{"key":"e","value":2}`, `{"key":"e","value":null,"deleted":true}`)
	w.want(t, "POST", "/data/f", `{"value":1,"ttl":0.05}`, 200, "")
	w.want(t, "POST", "/data/f", `{"value":2}`, 200, "") // clears it
	p.want(`{"key":"f","value":1}`, `{"key":"f","value":2}`)
	w.want(t, "POST", "/data/g", `{"value":1,"ttl":0.2}`, 200, "")
	p.want(`{"key":"g","value":1}`, `{"key":"g","value":null,"deleted":true}`)
	w.want(t, "GET", "/data/f", "", 200, `"value":2`)
	w.want(t, "GET", "/data/g", "", 404, "")
}

// A pattern's snapshot for a client that reads slowly, while writers run: of
// each key what it held, then all or the newest that came, no step back, and
// in the end what the server holds.
func TestASlowClientGetsAWholeSnapshot(t *testing.T) {
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
			time.Sleep(50 * time.Millisecond) // a client with other things to do
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
	if len(held) < keys*9/10 { // the others may have been deleted before
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

// A client that loses its connection 200 times while 8 writers run, and
// resumes each time by the last revision that it was given, ends with exactly
// what the server holds.
func TestAClientThatReconnectsMissesNothing(t *testing.T) {
	w := newWire(t, transport.Options{})
	done := make(chan struct{})
	var writers sync.WaitGroup
	stop := sync.OnceFunc(func() {
		close(done)
		writers.Wait()
	})
	t.Cleanup(stop)
	for n := range 8 {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 4))
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				key := fmt.Sprintf("k/%d/%d", n, random.IntN(50))
				if random.IntN(3) == 0 {
					_, _ = w.keyspace.Delete(t.Context(), key)
				} else if _, err := w.keyspace.Set(t.Context(), key, fmt.Append(nil, i)); err != nil {
					t.Error(err)
					return
				}
				if i%50 == 0 {
					time.Sleep(time.Millisecond) // 8 writers as fast as they can leave no time for others
				}
			}
		})
	}
	held := map[string]string{}
	since, updates := uint64(0), 0
	for round := range 201 {
		if round == 200 {
			stop()
			w.settle()
		}
		p := w.dial(t)
		start := `"snapshot":true`
		if round > 0 {
			start = fmt.Sprintf(`"since":%d`, since)
		}
		p.send(`{"action":"subscribe","pattern":"k/#",` + start + `}`)
		for after := -1; after != 0; after-- {
			var m struct {
				Key      string
				Value    json.RawMessage
				Deleted  bool
				Synced   bool
				Reset    bool
				Revision uint64
			}
			if err := json.Unmarshal([]byte(p.receive()), &m); err != nil {
				t.Fatal(err)
			}
			switch {
			case m.Reset:
				t.Fatalf("round %d: reset, with %d as since", round, since)
			case m.Synced:
				since = m.Revision
				after = 1
				if round < 200 {
					after += rand.IntN(20) // so many more, and then it is cut off
				}
			case m.Deleted:
				delete(held, m.Key)
				updates++
			default:
				held[m.Key] = string(m.Value)
				updates++
			}
		}
		_ = p.NetConn().Close()
	}
	for n := range 8 {
		for i := range 50 {
			key := fmt.Sprintf("k/%d/%d", n, i)
			e, err := w.keyspace.Get(key)
			if value, ok := held[key]; (err == nil) != ok || string(e.Value) != value {
				t.Fatalf("%s is %s (%v), the client has %q", key, e.Value, err, value)
			}
		}
	}
	t.Logf("%d updates over 200 reconnects", updates)
}
