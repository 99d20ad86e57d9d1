package transport_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/keyspace"
	"rtdb/transport"
	"rtdb/transport/transporttest"
)

// A write that a session has begun holds up the shutdown, and the test looks at
// everything else meanwhile.
func TestShutdownDrainsInOrder(t *testing.T) {
	w := newWire(t, transport.Options{})
	writer, screen := w.dial(t), w.dial(t)
	screen.ask(`{"action":"subscribe","key":"k","id":1}`, `{"id":1,"ok":true,"revision":0,"epoch":"e"}`)

	gate, arrived := make(chan struct{}), make(chan struct{}, 10)
	w.store.hold(func(keyspace.Record) { arrived <- struct{}{}; <-gate })
	writer.send(`{"action":"set","key":"k","value":1,"id":1}`)
	writer.send(`{"action":"set","key":"k","value":2,"id":2}`) // it comes too late and is not begun
	<-arrived
	rest := make(chan string, 1)
	go func() {
		_, text := w.call(t, "POST", "/data/other", `{"value":1}`)
		rest <- text
	}()
	<-arrived

	// A connection that is kept alive gets an answer, too; it is not just closed.
	kept, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	keptReader := bufio.NewReader(kept)
	ask := func() int {
		t.Helper()
		_ = kept.SetDeadline(time.Now().Add(patience))
		if _, err := kept.Write([]byte("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(keptReader, nil)
		if err != nil {
			t.Fatalf("on a connection that was kept alive: %v", err)
		}
		defer answer.Body.Close()
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode
	}
	if got := ask(); got != 200 {
		t.Errorf("/readyz before: %d", got)
	}
	ended := w.startShutdown(t, patience)
	screen.wantClose(1012)
	if got := ask(); got != 503 {
		t.Errorf("/readyz while draining, on a connection that was kept alive: %d, want 503", got)
	}
	for _, e := range w.log.lines(t, "http request") {
		if e["route"] == "/readyz" && e["level"] != "debug" {
			t.Errorf("a health check at %v", e["level"])
		}
	}
	for path, want := range map[string]string{
		"/readyz": "unavailable", "/data/k": "unavailable", "/ws": "unavailable", "/nothing": "unavailable", "/healthz": "",
	} {
		answer, text := w.call(t, "GET", path, "")
		if code := errorCode(t, text); code != want {
			t.Errorf("GET %s while draining: %d %s, want %q", path, answer.StatusCode, text, want)
		}
	}
	if _, answer, err := websocket.DefaultDialer.Dial("ws://"+w.addr+"/ws", nil); err == nil || answer.StatusCode != 503 {
		t.Errorf("a new WebSocket while draining: %v, want 503", err)
	}
	select {
	case err := <-ended:
		t.Fatalf("Shutdown returned with a write in flight: %v", err)
	default:
	}
	close(gate)
	if got := writer.receive(); !strings.HasPrefix(got, `{"id":1,"ok":true,"version":`) {
		t.Errorf("the write in flight was answered %s", got)
	}
	writer.wantClose(1012)
	if text := <-rest; errorCode(t, text) != "" {
		t.Errorf("the REST write in flight was answered %s", text)
	}
	if err := <-ended; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if e, err := w.keyspace.Get("k"); err != nil || string(e.Value) != "1" {
		t.Errorf("the key holds %s, %v; want the write that was begun and not the one behind it", e.Value, err)
	}
}

func TestShutdownSendsWhatWaits(t *testing.T) {
	w := newWire(t, transport.Options{})
	screen := w.dial(t)
	screen.ask(`{"action":"subscribe","topic":"t","id":1}`, `{"id":1,"ok":true,"revision":0,"epoch":"e"}`)
	const n = 3000
	for i := range n {
		if err := w.keyspace.Publish(t.Context(), "t", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	// Publish returns before subscribers are told. A subscribe to the topic is answered
	// after that.
	other := w.dial(t)
	other.ask(`{"action":"subscribe","topic":"t","id":1}`, `{"id":1,"ok":true,"revision":0,"epoch":"e"}`)
	ended := w.startShutdown(t, patience)
	for i := range n {
		screen.want(fmt.Sprintf(`{"topic":"t","value":%d}`, i))
	}
	screen.wantClose(1012)
	other.wantClose(1012)
	if err := <-ended; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	for _, e := range w.log.lines(t, "session closed") {
		if e["code"] != 1012.0 || e["dropped"] != 0.0 {
			t.Errorf("logged %v", e)
		}
	}
}

// Connections without a request do not hold up a shutdown.
func TestShutdownDoesNotWaitForUnusedConnections(t *testing.T) {
	w := newWire(t, transport.Options{})
	for _, sent := range []string{"", "GET / HT", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"} {
		c, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte(sent)); err != nil {
			t.Fatal(err)
		}
	}
	w.want(t, "GET", "/healthz", "", 200, "ok")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	start := time.Now()
	if err := w.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("Shutdown took %v", took)
	}
}

func TestShutdownCutsOffWhatOutlastsTheGrace(t *testing.T) {
	w := newWire(t, transport.Options{})
	gate := make(chan struct{})
	arrived := make(chan struct{}, 1)
	w.store.hold(func(keyspace.Record) { arrived <- struct{}{}; <-gate })
	defer close(gate)
	writer := w.dial(t)
	writer.send(`{"action":"set","key":"k","value":1,"id":1}`)
	<-arrived
	start := time.Now()
	ended := w.startShutdown(t, 200*time.Millisecond)
	if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v, want its context's error", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("Shutdown took %v with a grace of 200 ms", took)
	}
	if n := w.Sessions(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

// A shutdown ends event streams after WebSockets: they carry the wills, and a client that
// reconnected while a WebSocket still drains would be refused.
func TestEventStreamsEndAfterWebSockets(t *testing.T) {
	t.Parallel()
	w := newWire(t, transport.Options{})
	p := w.dial(t)
	p.ask(`{"action":"will","key":"k","value":"gone","id":1}`, `{"id":1,"ok":true}`)
	p.SetCloseHandler(func(int, string) error { return nil }) // the server waits a second for its close frame
	f := w.feed(t, "key=k")
	f.want("id: e.0")
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		ended <- w.Shutdown(ctx)
	}()
	p.wantClose(1012)
	f.want(`id: e.1|data: {"key":"k","value":"gone"}`)
	f.wantEnd(1012, "server is shutting down: reconnect")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A client whose write waits for a disk that has stopped to answer does not hold up a shutdown
// longer than the grace.
func TestAShutdownDoesNotWaitForADiskThatHangs(t *testing.T) {
	for _, brief := range []bool{false, true} { // with true, the client's own goroutine waits for the disk
		t.Run(fmt.Sprint("brief ", brief), func(t *testing.T) {
			t.Parallel()
			w := newWire(t, transport.Options{})
			w.store.brief.Store(brief)
			held, gate := make(chan struct{}, 2), make(chan struct{})
			w.store.hold(func(keyspace.Record) { held <- struct{}{}; <-gate })
			defer close(gate)
			p := w.dial(t)
			p.send(`{"action":"set","key":"a","value":1,"id":1}`)
			<-held
			go func() {
				if answer, err := http.Post("http://"+w.addr+"/data/b", "application/json", strings.NewReader(`{"value":1}`)); err == nil {
					_ = answer.Body.Close()
				}
			}()
			<-held
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			start := time.Now()
			if err := w.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Shutdown: %v, want its context's error", err)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("Shutdown took %v with a grace of 100 ms", took)
			}
		})
	}
}

// A client that is cut off at the end of the grace leaves its wills, although the disk is slow.
func TestAShutdownWaitsForTheWillsOfClientsThatItCutsOff(t *testing.T) {
	w := newWire(t, transport.Options{})
	p, wills := w.dial(t), 5 // it does not answer the close frame
	for i := range wills {
		p.ask(fmt.Sprintf(`{"action":"will","key":"w%d","value":"gone","id":1}`, i), `{"id":1,"ok":true}`)
	}
	w.store.hold(func(keyspace.Record) { <-time.After(150 * time.Millisecond) })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := w.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v, want its context's error", err)
	}
	for i := range wills {
		if _, err := w.keyspace.Get(fmt.Sprint("w", i)); err != nil {
			t.Errorf("will %d: %v", i, err)
		}
	}
}

// An event stream that is slow to end does not keep the listener open: a client whose
// stream has ended would reconnect and be refused.
func TestASlowEventStreamDoesNotKeepTheListenerOpen(t *testing.T) {
	w := newWire(t, transport.Options{})
	value := quote(strings.Repeat("x", 60_000))
	for i := range 200 {
		if _, err := w.keyspace.Set(t.Context(), fmt.Sprint("k/", i), []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := net.Dial("tcp", w.addr) // this client takes nothing
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET /events?pattern=%23&snapshot=true HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	w.log.await(t, "session opened", 1)
	transporttest.Eventually(t, "its snapshot is stuck", func() bool { return w.metric(t, "rtdb_lag_seconds") > 0.2 })
	w.settle()
	good := w.feed(t, "key=none")
	good.want("id: e.200")
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		ended <- w.Shutdown(ctx)
	}()
	if _, err := io.ReadAll(good.r); err != nil {
		t.Error(err)
	}
	for gone := false; !gone; { // this takes much less than the seconds that the slow stream has
		select {
		case err := <-ended:
			t.Fatalf("the slow stream has ended: %v", err)
		default:
		}
		answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(must(http.NewRequest("GET", "http://"+w.addr+"/readyz", nil)))
		if gone = err != nil; !gone {
			_ = answer.Body.Close()
		}
	}
	_ = c.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// The server waits about a second for a client's close frame.
func TestShutdownDoesNotWaitLongForACloseFrame(t *testing.T) {
	inBubble(t, func(t *testing.T, p *piped) {
		c := p.dial(t)
		c.SetCloseHandler(func(int, string) error { return nil })
		done := make(chan time.Duration)
		go func() {
			start := time.Now()
			if err := p.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			done <- time.Since(start)
		}()
		if code, _ := closing(c); code != 1012 {
			t.Errorf("close code %d, want 1012", code)
		}
		if took := <-done; took < transport.CloseTimeout || took > 2*transport.CloseTimeout {
			t.Errorf("Shutdown took %v, want %v", took, transport.CloseTimeout)
		}
		_ = c.Close()
	})
}

// Two calls of Shutdown at the same time wait for the same drain.
func TestShutdownMayBeCalledTwiceAtOnce(t *testing.T) {
	t.Parallel()
	w := newWire(t, transport.Options{})
	for range 20 {
		w.dial(t)
	}
	errs := make(chan error, 2)
	for range 2 {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			errs <- w.Shutdown(ctx)
		}()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	}
}
