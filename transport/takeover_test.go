package transport_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/transport"
	"rtdb/transport/auth"
	"rtdb/transport/transporttest"
)

// nodes starts n servers that take over sessions from each other. Their states are apart.
func nodes(t *testing.T, n int, o transport.Options) []*wire {
	t.Helper()
	all, started := make([]*wire, n), make(chan struct{})
	for i := range all {
		o.Takeover = func(ctx context.Context, client, subject string, since time.Time) error {
			<-started // a request's bytes do not order this after the end of nodes, for the race detector
			for j, other := range all {
				if j == i {
					continue
				}
				newer, err := other.EndClient(ctx, client, subject, since.Round(0)) // as if it came from another machine
				if newer {
					return fmt.Errorf("node %d: %w", j, transport.ErrNewerSession)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}
		all[i] = newWire(t, o)
	}
	close(started)
	return all
}

// A client moves to another node. Its old session has ended, and its will is written, before
// it is answered.
func TestAClientMovesToAnotherNode(t *testing.T) {
	t.Parallel()
	all := nodes(t, 3, transport.Options{Keys: testKeys(t)})
	signer := must(auth.SecretSigner(testSecret))
	dial := func(w *wire, subject string) *peer {
		return w.dialAs(t, must(signer.Sign(subject, auth.Grants{Read: []string{"#"}, Write: []string{"#"}}, time.Hour)))
	}
	old := dial(all[0], "alice")
	old.wantCode(`{"action":"will","key":"device/7","value":"offline","id":1}`, "")
	old.wantCode(`{"action":"hello","client":"device-7","id":2}`, "")
	other := dial(all[0], "bob")
	other.wantCode(`{"action":"hello","client":"device-7","id":1}`, "")

	device := dial(all[1], "alice")
	device.wantCode(`{"action":"hello","client":"device-7","id":1}`, "")
	if e, err := all[0].keyspace.Get("device/7"); err != nil || string(e.Value) != `"offline"` {
		t.Errorf("the will is %s, %v", e.Value, err)
	}
	old.wantClose(4011)
	other.ask(`{"action":"ping"}`, `{"action":"pong"}`)

	// Without a subject the grants count.
	old, device = dial(all[2], ""), dial(all[0], "")
	old.wantCode(`{"action":"hello","client":"device-7","id":1}`, "")
	device.wantCode(`{"action":"hello","client":"device-7","id":1}`, "")
	old.wantClose(4011)
	device.wantCode(`{"action":"hello","client":"device-7","id":2}`, "") // again
	other.ask(`{"action":"ping"}`, `{"action":"pong"}`)
}

// Many sessions on several nodes take one name at the same time. They do not wait for each
// other, and one of them is left.
func TestManySessionsOnSeveralNodesTakeOneName(t *testing.T) {
	all := nodes(t, 3, transport.Options{})
	const each = 10
	var clients sync.WaitGroup
	start := time.Now()
	for range each {
		for _, w := range all {
			clients.Go(func() {
				p := w.dial(t)
				p.send(`{"action":"hello","client":"one","id":1}`)
				for {
					_ = p.SetReadDeadline(time.Now().Add(patience))
					if _, _, err := p.ReadMessage(); err != nil {
						if !websocket.IsCloseError(err, 4011) {
							t.Error(err)
						}
						return
					}
				}
			})
		}
	}
	open := func() (n int) {
		for _, w := range all {
			n += w.Sessions()
		}
		return n
	}
	for _, w := range all {
		w.log.await(t, "session opened", each)
	}
	transporttest.Eventually(t, "one session is left", func() bool { return open() == 1 })
	if took := time.Since(start); took > transport.TakeoverTimeout {
		t.Errorf("it took %v", took)
	}
	last := all[0].dial(t)
	last.wantCode(`{"action":"hello","client":"one","id":1}`, "")
	clients.Wait()
	if open() != 1 {
		t.Errorf("%d sessions are open", open())
	}
}

// The session that has said hello later stays, and the other one learns it. If the clocks of
// the nodes differ, an older session ends all the same.
func TestTheNewerSessionStays(t *testing.T) {
	t.Parallel()
	w := newWire(t, transport.Options{})
	p := w.dial(t)
	before := time.Now()
	p.wantCode(`{"action":"hello","client":"one","id":1}`, "")
	for _, name := range []string{"one", "another"} {
		newer, err := w.EndClient(t.Context(), name, "", before)
		if newer != (name == "one") || err != nil {
			t.Errorf("EndClient of %s: newer %v, %v", name, newer, err)
		}
	}
	p.ask(`{"action":"ping"}`, `{"action":"pong"}`)
	if newer, err := w.EndClient(t.Context(), "one", "", time.Now()); newer || err != nil {
		t.Errorf("EndClient: newer %v, %v", newer, err)
	}
	p.wantClose(4011)
	if n := w.Sessions(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

// A hello fails if the other nodes do not answer, or have a newer session.
func TestAHelloThatTheOtherNodesDoNotGrant(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	w := newWire(t, transport.Options{Takeover: func(ctx context.Context, client, _ string, _ time.Time) error {
		switch client {
		case "silent":
			return errors.New("node b does not answer")
		case "newer":
			return fmt.Errorf("node b: %w", transport.ErrNewerSession)
		case "waits":
			close(asked)
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}})
	p := w.dial(t)
	p.ask(`{"action":"hello","client":"silent","id":1}`, `{"id":1,"error":{"code":"unavailable",`+
		`"message":"the client's older session on another node may not have ended: node b does not answer; say hello again"}}`)
	p.wantCode(`{"action":"hello","client":"one","id":2}`, "")
	p.send(`{"action":"hello","client":"newer","id":3}`)
	p.wantClose(4011)

	// A session that waits for another node ends at once if it must.
	p = w.dial(t)
	p.send(`{"action":"hello","client":"waits","id":1}`)
	<-asked
	start := time.Now()
	if newer, err := w.EndClient(t.Context(), "waits", "", time.Now()); newer || err != nil {
		t.Errorf("EndClient: newer %v, %v", newer, err)
	}
	if took := time.Since(start); took > transport.TakeoverTimeout/2 {
		t.Errorf("it took %v", took)
	}
	p.wantClose(4011)
}

// A node that was taken for dead ends its sessions, and takes new ones meanwhile.
func TestANodeEndsItsSessions(t *testing.T) {
	t.Parallel()
	const reason = "this node was cut off for too long: reconnect"
	w := newWire(t, transport.Options{})
	stream := w.feed(t, "key=left")
	stream.want("id: e.0")
	var all []*peer
	for i := range 3 {
		p := w.dial(t)
		p.wantCode(fmt.Sprintf(`{"action":"will","key":"left","value":%d,"id":1}`, i), "")
		all = append(all, p)
	}
	if err := w.EndSessions(t.Context(), reason); err != nil {
		t.Fatal(err)
	}
	if n := w.Sessions(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	for _, p := range all {
		_ = p.SetReadDeadline(time.Now().Add(patience))
		if _, _, err := p.ReadMessage(); !websocket.IsCloseError(err, 1012) || !strings.Contains(err.Error(), reason) {
			t.Errorf("the session ended with %v", err)
		}
	}
	for range all { // the stream ends last, and has the wills
		if got := stream.block(); !strings.Contains(got, `{"key":"left","value":`) {
			t.Errorf("the stream got %s", got)
		}
	}
	stream.wantEnd(1012, reason)
	w.dial(t).ask(`{"action":"ping"}`, `{"action":"pong"}`)
	w.want(t, "GET", "/readyz", "", 200, "")

	// If ctx has ended, the sessions are cut off.
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("no time")
	cancel(cause)
	w.feed(t, "key=left")
	if err := w.EndSessions(ctx, reason); err != nil && !errors.Is(err, cause) {
		t.Errorf("EndSessions: %v", err)
	}
	transporttest.Eventually(t, "all sessions have ended", func() bool { return w.Sessions() == 0 })
}
