package transport_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/transport"
	"rtdb/transport/transporttest"
)

// A shutdown does not close many sessions at one moment, because all clients would
// reconnect at the next. It spreads the closes, and all clients get the close code within
// the grace time.
func TestAShutdownSpreadsTheClosesOfManySessions(t *testing.T) {
	many, grace := 2000, 15*time.Second
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	w := newWire(t, transport.Options{FlushInterval: transport.DefaultFlushInterval})
	type end struct {
		at   time.Time
		told bool
	}
	ends := make(chan end, many)
	var clients sync.WaitGroup
	defer clients.Wait()
	for range many {
		p := w.dial(t)
		p.send(`{"action":"subscribe","key":"k"}`)
		clients.Go(func() {
			_ = p.SetReadDeadline(time.Now().Add(grace + patience))
			_, _, err := p.ReadMessage()
			var closed *websocket.CloseError
			ends <- end{time.Now(), errors.As(err, &closed) && closed.Code == websocket.CloseServiceRestart}
			_ = p.Close()
		})
	}
	transporttest.Eventually(t, "all sessions open", func() bool { return w.Sessions() == many })

	ctx, cancel := context.WithTimeout(t.Context(), grace)
	defer cancel()
	start := time.Now()
	if err := w.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	drained := time.Since(start)
	clients.Wait()
	close(ends)

	const window = 500 * time.Millisecond
	told := 0
	var last time.Duration
	var at []time.Duration
	for e := range ends {
		if e.told {
			told++
			at = append(at, e.at.Sub(start))
			last = max(last, e.at.Sub(start))
		}
	}
	peak := 0
	for _, from := range at { // the windows that begin with a close
		n := 0
		for _, x := range at {
			if x >= from && x < from+window {
				n++
			}
		}
		peak = max(peak, n)
	}
	mean := float64(told) * float64(window) / float64(last)
	t.Logf("leaving: %d of %d told 1012, the last after %v, the server done after %v of %v; in half a second %d at most and %.1f on average; %d processors",
		told, many, last, drained, grace, peak, mean, runtime.GOMAXPROCS(0))
	if told*100 < many*99 || last > grace || drained > grace {
		t.Errorf("%d of %d were told, the last after %v", told, many, last)
	}
	if last < 3*window || float64(peak) > 2*mean && !transporttest.UnderRace {
		t.Errorf("%d of %d left within half a second, want %.1f at most", peak, many, 2*mean)
	}
}

// When many clients leave at once, their goroutines, descriptors and subscriptions go,
// too.
func TestManyClientsLeaveAtOnce(t *testing.T) {
	w := newWire(t, transport.Options{FlushInterval: transport.DefaultFlushInterval})
	many := 2000
	if testing.Short() {
		many = 200
	}
	goroutines, sockets := runtime.NumGoroutine(), openSockets()
	subscribe := append([]byte{0x81, 0x80 | 36, 0, 0, 0, 0}, `{"action":"subscribe","pattern":"#"}`...)
	clients := make([]net.Conn, many)
	for i := range clients {
		clients[i] = handshake(t, w.addr)
		if _, err := clients[i].Write(subscribe); err != nil {
			t.Fatal(err)
		}
	}
	var writing atomic.Bool
	writing.Store(true)
	done := make(chan error, 1)
	go func() { // the clients leave while they are written to
		var err error
		for n := 0; writing.Load() && err == nil; n++ {
			_, err = w.keyspace.Set(t.Context(), "k", fmt.Append(nil, n))
		}
		done <- err
	}()
	for _, c := range clients {
		_ = c.(*net.TCPConn).SetLinger(0) // Close sends a reset
		_ = c.Close()
	}
	w.log.await(t, "session closed", many)
	writing.Store(false)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wantAllGone(t, goroutines, sockets)
}

// openSockets returns the number of the process's sockets. Its other descriptors are not
// those of clients: a pool opens a pipe with its first work, and a poller opens an epoll(7).
func openSockets() (n int) {
	for _, e := range must(os.ReadDir("/proc/self/fd")) {
		if to, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// wantAllGone waits until the process has no more goroutines and sockets than before. The
// goroutine that waits for parked connections may be new.
func wantAllGone(t *testing.T, goroutines, sockets int) {
	t.Helper()
	g, s := 0, 0
	defer func() { t.Logf("%d goroutines and %d sockets, before %d and %d", g, s, goroutines, sockets) }()
	transporttest.Eventually(t, "goroutines and sockets as before", func() bool {
		g, s = runtime.NumGoroutine(), openSockets()
		return g <= goroutines+1 && s <= sockets
	})
}

// A request of which only a part was sent has no effect.
func TestAClientThatClosesInTheMiddleOfAFrame(t *testing.T) {
	w := newWire(t, transport.Options{})
	other := w.dial(t)
	other.ask(`{"action":"subscribe","key":"k","id":1}`, `{"id":1,"ok":true,"revision":0,"epoch":"e"}`)
	frame := append([]byte{0x81, 0x80 | 40, 0, 0, 0, 0}, `{"action":"set","key":"k","value":"whole"}`...)
	for cut := 1; cut < len(frame)-2; cut += 5 {
		c := handshake(t, w.addr)
		if _, err := c.Write(frame[:cut]); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	w.log.await(t, "session closed", (len(frame)-3+4)/5)
	w.want(t, "GET", "/data/k", "", http.StatusNotFound, "not_found")
	other.ask(`{"action":"ping","id":2}`, `{"id":2,"ok":true,"action":"pong"}`)
}
