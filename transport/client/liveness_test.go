package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"rtdb/transport/client"
)

// A client gives up a server that answers no ping, after 25 s and 8 s. Its watches and views
// are stale before.
func TestAConnectionWithoutPongsIsGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		var states diary
		c := f.mustDial(client.OnState(states.note))
		v := client.NewView[int](t.Context(), c, "a")
		defer v.Close()
		if err := v.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		f.set(func() { f.handle = ignore("ping") })
		for !v.Stale() {
			time.Sleep(10 * time.Millisecond)
		}
		if after := time.Since(began).Round(10 * time.Millisecond); after < 27*time.Second || after > 27050*time.Millisecond {
			t.Errorf("the view is stale after %v", after)
		}
		for n := 0; n == 0; n, _ = states.count(client.Waiting) {
			time.Sleep(10 * time.Millisecond)
		}
		if after := time.Since(began).Round(10 * time.Millisecond); after < 33*time.Second || after > 33050*time.Millisecond {
			t.Errorf("the connection is given up after %v", after)
		}
		if _, err := states.count(client.Waiting); !strings.Contains(err.Error(), "has not answered a ping for 8") {
			t.Errorf("the reason is %v", err)
		}
		f.set(func() { f.handle = nil })
		for v.Stale() {
			time.Sleep(10 * time.Millisecond)
		}
		if n, _ := states.count(client.Open); n != 2 {
			t.Errorf("connected %d times", n)
		}
	})
}

// A pong that comes late ends the doubt.
func TestALatePong(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		f.handle = func(p *peer, r request) bool {
			if r.Action == "ping" && len(p.f.sent) > 2 {
				time.Sleep(6 * time.Second)
			}
			return false
		}
		c := f.mustDial()
		marks := pull(t, client.Watch[int](t.Context(), c, "a", client.WithMarks()))
		for i, want := range []client.Mark{client.Synced, client.Stale, client.Synced, client.Stale, client.Synced} {
			if got := marks.next(); got.Mark != want {
				t.Errorf("mark %d is %v, want %v", i, got.Mark, want)
			}
		}
		if n := len(f.peers()); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// A ping that the server refuses, because requests come too fast, is answered all the same.
func TestARefusedPing(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		f.mustDial()
		f.set(func() {
			f.handle = func(p *peer, r request) bool { p.fail(r, "rate_limited"); return true }
		})
		time.Sleep(10 * time.Minute)
		if n := len(f.peers()); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// Pings are sent under traffic, too, because they move the revision on.
func TestPingsUnderTraffic(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		c := f.mustDial()
		v := client.NewView[int](t.Context(), c, "a")
		defer v.Close()
		for i := range 1000 {
			f.last().update("a", i, 101+i)
			time.Sleep(100 * time.Millisecond)
		}
		if n := len(f.requests("ping")); n != 1+4 { // the first one greets
			t.Errorf("%d pings in 100 s", n)
		}
	})
}

// A long snapshot delays the pong. The client does not give up the connection.
func TestALongSnapshot(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		f.handle = func(p *peer, r request) bool {
			if r.Action == "subscribe" {
				for i := range 120 {
					p.update(fmt.Sprintf("a/%d", i), i, i+1)
					time.Sleep(time.Second)
				}
			}
			return false
		}
		c := f.mustDial()
		v := client.NewView[int](t.Context(), c, "a/#")
		defer v.Close()
		if err := v.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(f.peers()); n != 1 {
			t.Errorf("%d connections", n)
		}
		// If the snapshot stops, the connection is given up all the same.
		f.set(func() {
			f.handle = func(_ *peer, r request) bool {
				if r.Action == "subscribe" {
					<-t.Context().Done()
				}
				return false
			}
		})
		began := time.Now()
		w := client.NewView[int](t.Context(), c, "b/#")
		defer w.Close()
		for len(f.peers()) == 1 {
			time.Sleep(100 * time.Millisecond)
		}
		if after := time.Since(began); after > 36*time.Second {
			t.Errorf("the connection is given up after %v", after)
		}
	})
}

// After some close codes the client connects again, and after one it does not.
func TestCloseCodes(t *testing.T) {
	for code, is := range map[websocket.StatusCode]error{
		1000: nil, 1001: nil, 1008: nil, 1009: nil, 1011: nil, 1012: nil, 4008: nil, 4009: nil, 4010: nil, 4011: client.ErrReplaced,
	} {
		inBubble(t, func(t *testing.T, f *fake) {
			var states diary
			c := f.mustDial(client.OnState(states.note))
			watch := pull(t, client.Watch[int](t.Context(), c, "a", client.WithMarks()))
			watch.next()
			_ = f.last().conn.Close(code, "because")
			time.Sleep(time.Second)
			if is != nil {
				if n, err := states.count(client.Closed); n != 1 || !errors.Is(err, is) || len(f.peers()) != 1 {
					t.Errorf("%d: %d, %v, %d connections", code, n, err, len(f.peers()))
				}
				if got := watch.next(); got.Mark != client.Stale {
					t.Errorf("%d: the watch got %+v", code, got)
				}
				if err := watch.fails(); !errors.Is(err, is) || !errors.Is(err, client.ErrClosed) {
					t.Errorf("%d: the watch ends with %v", code, err)
				}
				return
			}
			if n, err := states.count(client.Waiting); n != 1 || len(f.peers()) != 2 || !strings.Contains(err.Error(), fmt.Sprintf(`(%d, "because")`, code)) {
				t.Errorf("%d: %d, %v, %d connections", code, n, err, len(f.peers()))
			}
			if got := watch.next(); got.Mark != client.Synced { // only the newest mark waits
				t.Errorf("%d: the watch got %+v", code, got)
			}
		})
	}
}

// If a server wants a token and the client has none, that is final.
func TestAServerThatWaitsForAToken(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		var states diary
		c := f.mustDial(client.OnState(states.note))
		_ = f.last().conn.Close(1008, "no token in time")
		time.Sleep(time.Minute)
		if n, err := states.count(client.Closed); n != 1 || !errors.Is(err, client.ErrUnauthorized) || !strings.Contains(err.Error(), "WithToken") {
			t.Errorf("%d, %v", n, err)
		}
		if _, err := client.Set(t.Context(), c, "a", 1); !errors.Is(err, client.ErrUnauthorized) {
			t.Errorf("set: %v", err)
		}
	})
}

// While the server says that it is behind others, watches and views are stale.
func TestAServerThatIsBehind(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		c := f.mustDial()
		v := client.NewView[int](t.Context(), c, "a")
		defer v.Close()
		if err := v.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.last().send(`{"action":"stale","since_ms":10}`)
		synctest.Wait()
		if !v.Stale() {
			t.Error("the view is not stale")
		}
		time.Sleep(time.Minute) // pongs do not end it
		if !v.Stale() {
			t.Error("the view is not stale any more")
		}
		f.last().send(`{"action":"fresh"}`)
		synctest.Wait()
		if v.Stale() {
			t.Error("the view is still stale")
		}
	})
}

// A listener is told of messages that were lost between the nodes.
func TestMessagesThatWereLostBetweenTheNodes(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		c := f.mustDial()
		ctx, cancel := context.WithCancel(t.Context())
		var got []client.Message[int]
		var listening sync.WaitGroup
		listening.Go(func() {
			for m, err := range client.Listen[int](ctx, c, "a/+") {
				if err == nil {
					got = append(got, m)
				}
			}
		})
		synctest.Wait()
		f.last().send(`{"topic":"a/1","missed":true}`)
		f.last().send(`{"topicPattern":"a/+","missed":true}`)
		f.last().send(`{"topicPattern":"b/+","missed":true}`)
		f.last().send(`{"topic":"a/1","value":1}`)
		synctest.Wait()
		cancel()
		listening.Wait()
		want := []client.Message[int]{{Topic: "a/1", Missed: -1}, {Topic: "a/+", Missed: -1}, {Topic: "a/1", Value: 1}}
		if !slices.Equal(got, want) {
			t.Errorf("the listener got %v, want %v", got, want)
		}
	})
}

// The state that the client reports follows the connection, with reasons.
func TestStates(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		var states diary
		c := f.mustDial(client.OnState(states.note))
		f.set(func() {
			f.refuse = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true }
		})
		f.last().cut()
		time.Sleep(600 * time.Millisecond)
		if state, err := c.State(); state != client.Waiting || !strings.Contains(fmt.Sprint(err), "answered 502") {
			t.Errorf("the state is %v, %v", state, err)
		}
		f.set(func() { f.refuse = nil })
		time.Sleep(time.Minute)
		_ = c.Close()
		var text []string
		for _, s := range states.states {
			text = append(text, s.String())
		}
		got := strings.Join(text, " ")
		if !strings.HasPrefix(got, "connecting open waiting connecting waiting connecting") || !strings.HasSuffix(got, "connecting open closed") {
			t.Errorf("the states are %s", got)
		}
	})
}

// A connection that ends within a message was lost: its beginning is not taken for a message
// that no rtdb server sends.
func TestAConnectionThatEndsWithinAMessage(t *testing.T) {
	for name, bytes := range map[string]string{
		"in a header":           "\x81",
		"in a payload":          "\x81\x05{\"ke",
		"between two fragments": "\x01\x05{\"key",
		"between two messages":  "",
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fake) {
				c := f.mustDial()
				wire := f.wires[0]
				if _, err := io.WriteString(wire, bytes); err != nil {
					t.Fatal(err)
				}
				_ = wire.Close()
				synctest.Wait()
				if state, err := c.State(); state != client.Waiting || errors.Is(err, client.ErrNotRTDB) || !strings.Contains(fmt.Sprint(err), "was lost") {
					t.Errorf("the state is %v, %v", state, err)
				}
			})
		})
	}
}
