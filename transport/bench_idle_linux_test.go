package transport_test

import (
	"sync"
	"testing"
	"time"
)

// BenchmarkIdleConnection measures the resident memory of the process for each WebSocket
// that has one subscription and is idle, before and after a garbage collection.
func BenchmarkIdleConnection(b *testing.B) {
	for _, name := range []string{"rtdb", "always"} { // in memory, and in a directory
		b.Run(name, func(b *testing.B) { measureIdle(b, name) })
	}
}

func measureIdle(b *testing.B, name string) {
	n, wait := 10_000, 3*time.Second
	if testing.Short() {
		n, wait = 500, 100*time.Millisecond
	}
	for b.Loop() {
		server := startChild(b, name)
		server.rest(b)
		before := server.resident(b)
		sockets := make([]*socket, n)
		const dialers = 4
		var dialing sync.WaitGroup
		for first := range dialers {
			dialing.Go(func() {
				for i := first; i < n; i += dialers {
					s, err := dialSocket(server.address)
					if err != nil {
						b.Error(err)
						return
					}
					sockets[i] = s
					if err := (webSocketSpeaker{}).listen(s, 1); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		dialing.Wait()
		if !b.Failed() {
			time.Sleep(wait)
			b.ReportMetric(float64(server.resident(b)-before)/float64(n), "B/conn")
			server.ask(b, "collect")
			b.ReportMetric(float64(server.resident(b)-before)/float64(n), "B/conn-collected")
		}
		for _, s := range sockets {
			if s != nil {
				if err := s.close(); err != nil {
					b.Error(err)
				}
			}
		}
	}
	b.ReportMetric(0, "ns/op")
}
