package transport_test

import (
	"io"
	"net/http"
	"sync"
	"testing"
	"time"
)

// BenchmarkMetrics measures the cost of the metrics under load, with one scrape a second.
// It compares with the same server whose metrics count nothing.
func BenchmarkMetrics(b *testing.B) {
	s := shape{keys: 1000, subscribers: 50, publishers: 4, window: 200}
	rounds, length := 10, time.Second
	if testing.Short() {
		rounds, length, s.keys = 1, 50*time.Millisecond, 50
	}
	sides := []*side{startSide(b, "rtdb"), startSide(b, "unmeasured")}
	for b.Loop() {
		for range rounds {
			for _, x := range sides {
				var asking sync.WaitGroup
				if x.name == "rtdb" {
					asking.Go(func() {
						time.Sleep(length / 2)
						askMetrics(b, x.server.address)
					})
				}
				x.round(b, s, length)
				asking.Wait()
			}
		}
	}
	b.ReportMetric(median(sides[0].costs), "rtdb-ns/delivery")
	b.ReportMetric(median(sides[1].costs), "unmeasured-ns/delivery")
	b.ReportMetric(median(sides[0].costs)/median(sides[1].costs), "x-unmeasured")
	b.ReportMetric(0, "ns/op")
}

func askMetrics(b *testing.B, address string) {
	b.Helper()
	answer, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		b.Error(err)
		return
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
}
