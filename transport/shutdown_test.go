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
)

func (w *wire) startShutdown(t *testing.T, grace time.Duration) chan error {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		ended <- w.Shutdown(ctx)
	}()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if answer, _ := w.call(t, "GET", "/readyz", ""); answer.StatusCode == http.StatusServiceUnavailable {
			return ended
		}
		if time.Now().After(deadline) {
			t.Fatal("/readyz does not turn to 503")
		}
	}
}

// The write that a session has begun holds the drain up, so that everything
// else can be looked at meanwhile.
func TestShutdownDrainsInOrder(t *testing.T) {
	w := newWire(t, transport.Options{})
	writer, screen := w.dial(t), w.dial(t)
	screen.ask(`{"action":"subscribe","key":"k","id":1}`, `{"id":1,"ok":true,"revision":0}`)

	gate, arrived := make(chan struct{}), make(chan struct{}, 10)
	w.store.hold(func(keyspace.Write) { arrived <- struct{}{}; <-gate })
	writer.send(`{"action":"set","key":"k","value":1,"id":1}`)
	writer.send(`{"action":"set","key":"k","value":2,"id":2}`) // comes too late
	<-arrived
	rest := make(chan string, 1)
	go func() {
		_, text := w.call(t, "POST", "/data/other", `{"value":1}`)
		rest <- text
	}()
	<-arrived

	// A connection that is kept alive is answered too, and not just closed.
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
	screen.ask(`{"action":"subscribe","topic":"t","id":1}`, `{"id":1,"ok":true,"revision":0}`)
	const n = 3000
	for i := range n {
		if err := w.keyspace.Publish(t.Context(), "t", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	// The publisher has its answer before subscribers are told: wait for that.
	other := w.dial(t)
	other.ask(`{"action":"subscribe","topic":"t","id":1}`, `{"id":1,"ok":true,"revision":0}`)
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

// Connections on which nothing is asked do not hold a shutdown up.
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
	w.store.hold(func(keyspace.Write) { arrived <- struct{}{}; <-gate })
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
