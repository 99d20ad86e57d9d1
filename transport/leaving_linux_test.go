package transport_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/transport"
	"rtdb/transport/transporttest"
)

// Many sessions do not leave at one moment, for they would all come back at the
// next, to wherever that is. They are spread, and yet all told within the grace.
func TestManySessionsLeaveOneByOne(t *testing.T) {
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
	eventually(t, "all sessions open", func() bool { return w.Sessions() == many })

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
	for _, from := range at { // of all windows, wherever they begin
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
