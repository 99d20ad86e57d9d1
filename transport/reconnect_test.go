package transport_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/tmaxmax/go-sse"

	"rtdb/transport"
)

// A client loses its connection 200 times while 8 writers run, and resumes each time
// from the last revision that it got. In the end it has exactly the server's values.
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
					time.Sleep(time.Millisecond) // otherwise 8 writers leave no time for anything else
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
					after += rand.IntN(20) // then the connection is cut
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

// An event source of another project reconnects by itself with the last id when its
// connection is cut, and misses nothing.
func TestAForeignEventSourceResumes(t *testing.T) {
	t.Parallel()
	w := newWire(t, transport.Options{})
	proxy := newCutter(t, w.addr)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+proxy.addr+"/events?pattern=k/%23&snapshot=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	synced, retries, ended := false, 0, false // only the connection uses them until it ends
	client := sse.Client{
		OnRetry:    func(error, time.Duration) { synced, retries = false, retries+1 },
		HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		Backoff:    sse.Backoff{InitialInterval: time.Millisecond, MaxInterval: 2 * time.Millisecond},
	}
	connection := client.NewConnection(r)
	const last = 600
	held := map[string]string{}
	finished, syncs := make(chan struct{}), make(chan struct{}, 10)
	connection.SubscribeToAll(func(e sse.Event) {
		var u struct {
			Key     string
			Value   json.RawMessage
			Deleted bool
			Reset   bool
		}
		if e.Data == "" {
			return // an event without data; a browser does not report it
		}
		if err := json.Unmarshal([]byte(e.Data), &u); err != nil {
			t.Errorf("%+v: %v", e, err)
		}
		switch {
		case e.Type == "synced":
			if synced = true; u.Reset {
				t.Error("reset")
			}
			syncs <- struct{}{}
		case u.Deleted:
			delete(held, u.Key)
		default:
			held[u.Key] = string(u.Value)
		}
		if ended = ended || u.Key == "k/end"; ended && synced {
			close(finished)
			cancel()
		}
	})
	var connecting sync.WaitGroup
	connecting.Go(func() {
		if err := connection.Connect(); !errors.Is(err, context.Canceled) {
			t.Errorf("Connect: %v", err)
		}
	})
	for i := range last {
		key := fmt.Sprint("k/", i%50)
		if i%7 == 0 {
			_, _ = w.keyspace.Delete(t.Context(), key)
		} else if _, err := w.keyspace.Set(t.Context(), key, fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
		if i%300 == 100 { // cut the connection when the client is synced
			select {
			case <-syncs:
			case <-ctx.Done():
				t.Fatal("the client did not come back")
			}
			proxy.cut()
		}
	}
	if _, err := w.keyspace.Set(t.Context(), "k/end", []byte("1")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-finished:
	case <-ctx.Done():
		t.Fatal("the last write did not come")
	}
	connecting.Wait()
	if retries < last/300 {
		t.Errorf("%d retries, want one for each cut", retries)
	}
	for i := range 50 {
		key := fmt.Sprint("k/", i)
		e, err := w.keyspace.Get(key)
		if value, ok := held[key]; (err == nil) != ok || string(e.Value) != value {
			t.Errorf("%s is %s (%v), the client has %q", key, e.Value, err, value)
		}
	}
}

// A cutter is a proxy whose connections a test can cut.
type cutter struct {
	addr  string
	mu    sync.Mutex
	conns []net.Conn
}

func newCutter(t *testing.T, addr string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{addr: l.Addr().String()}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", addr)
			if err != nil {
				_ = from.Close()
				continue
			}
			c.mu.Lock()
			c.conns = append(c.conns, from, to)
			c.mu.Unlock()
			running.Go(func() { _, _ = io.Copy(to, from); _ = to.Close() })
			running.Go(func() { _, _ = io.Copy(from, to); _ = from.Close() })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		c.cut()
		running.Wait()
	})
	return c
}

// cut closes all connections.
func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}
