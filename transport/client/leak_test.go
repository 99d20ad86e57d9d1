package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"

	"rtdb/transport"
	"rtdb/transport/client"
	"rtdb/transport/transporttest"
)

// Watches, views and listeners that are over leave nothing behind: no subscription at the
// server, no memory and no goroutine.
func TestNothingLeaks(t *testing.T) {
	s := transporttest.NewServer(t, transport.Options{})
	c, ctx := dial(t, s.URL()), timeout(t)
	must(client.Set(ctx, c, "a/1", 1))
	open := func(n int) {
		for i := range n {
			pattern := "a/#"
			switch i % 4 {
			case 0: // shared with the ones before and after it
			case 1:
				pattern = fmt.Sprintf("a/%d", i)
			default:
				pattern = fmt.Sprintf("a/+/%d", i)
			}
			watching, stop := context.WithCancel(ctx)
			switch i % 3 {
			case 0:
				for change, err := range client.Watch[int](watching, c, pattern, client.WithMarks()) {
					if err != nil || change.Mark == client.NoMark && change.Key != "a/1" {
						t.Fatalf("%+v, %v", change, err)
					}
					break
				}
			case 1:
				v := client.NewView[int](watching, c, pattern)
				if err := v.Ready(ctx); err != nil {
					t.Fatal(err)
				}
				v.Close()
			case 2:
				stop() // before the first message
				for _, err := range client.Listen[int](watching, c, pattern) {
					if !errors.Is(err, context.Canceled) {
						t.Fatal(err)
					}
				}
			}
			stop()
		}
	}
	n := 2000
	if os.Getenv("CI") != "" {
		n = 10_000
	}
	open(100)
	heap, goroutines := settled()
	open(n)
	transporttest.Eventually(t, "the server has no subscription", func() bool {
		_, _, _ = client.Get[int](ctx, c, "a/1") // it is answered after the last unsubscribe
		response := must(http.Get(s.URL() + "/sessions"))
		defer response.Body.Close()
		return strings.Contains(string(must(io.ReadAll(response.Body))), `"subscriptions":0,`)
	})
	http.DefaultClient.CloseIdleConnections()
	after, now := settled()
	if after > heap+1<<20 {
		t.Errorf("the heap grew from %d to %d bytes", heap, after)
	}
	if now > goroutines+5 { // net/http's come and go
		t.Errorf("%d goroutines became %d", goroutines, now)
	}
}

// settled returns the bytes of the heap that are in use, and the number of goroutines.
func settled() (heap uint64, goroutines int) {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, runtime.NumGoroutine()
}
