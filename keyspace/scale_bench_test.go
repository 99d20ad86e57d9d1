package keyspace_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"rtdb/keyspace"
)

// BenchmarkSetBesidePatterns measures how much patterns that do not match cost a write.
// It writes to the three keyspaces in turn, so that one run compares them. The ratio is
// to a keyspace without patterns.
func BenchmarkSetBesidePatterns(b *testing.B) {
	counts := []int{0, 1, 1000}
	var spaces []*keyspace.Keyspace
	for _, n := range counts {
		ks := open(b, keyspace.Options{})
		for i := range n {
			if err := ks.Subscribe(b.Context(), keyspace.Pattern(fmt.Sprintf("building/%d/+", i)), new(counter), keyspace.Start{}); err != nil {
				b.Fatal(err)
			}
		}
		spaces = append(spaces, ks)
	}
	took := make([][]time.Duration, len(counts))
	value := []byte("1")
	const writes = 2000
	for b.Loop() {
		for i, ks := range spaces {
			start := time.Now()
			for n := range writes {
				if _, err := ks.Set(b.Context(), [2]string{"device/1", "device/2"}[n%2], value); err != nil {
					b.Fatal(err)
				}
			}
			took[i] = append(took[i], time.Since(start)/writes)
		}
	}
	for i, n := range counts {
		slices.Sort(took[i])
		median := took[i][len(took[i])/2]
		b.ReportMetric(float64(median.Nanoseconds()), fmt.Sprintf("ns/set-beside-%d", n))
		if n == 1000 {
			b.ReportMetric(float64(median)/float64(took[0][len(took[0])/2]), "ratio-1000/0")
		}
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkSubscribePattern subscribes to a pattern that matches 100,000 keys: without a
// snapshot, with one, and resuming when nothing has changed.
func BenchmarkSubscribePattern(b *testing.B) {
	const keys = 100_000
	ks := open(b, keyspace.Options{})
	names := make([]string, keys)
	for i := range names {
		names[i] = fmt.Sprintf("device/%d/state", i)
		mustSet(b, ks, names[i], "1")
	}
	for _, c := range []struct {
		name  string
		start keyspace.Start
	}{
		{"live", keyspace.Start{}},
		{"snapshot", keyspace.Start{Snapshot: true}},
		{"resume", keyspace.Start{Resume: true, Since: ks.Revision()}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				s, n := new(counter), 0
				c.start.Each = func(*keyspace.Update) { n++ }
				if err := ks.Subscribe(b.Context(), keyspace.Pattern("device/+/state"), s, c.start); err != nil {
					b.Fatal(err)
				}
				if want := keys; c.start.Snapshot != (n == want) {
					b.Fatalf("%d keys in the snapshot", n)
				}
				if err := ks.Unsubscribe(b.Context(), keyspace.Pattern("device/+/state"), s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWalk makes and deletes keys, alone and while a million keys are listed again
// and again by a pattern that matches no key. The writers wait for the index's lock,
// which a listing holds for 256 keys at a time.
func BenchmarkWalk(b *testing.B) {
	const keys = 1_000_000
	ks := open(b, keyspace.Options{})
	for i := range keys {
		mustSet(b, ks, fmt.Sprintf("device/%d/state", i), "1")
	}
	measure := func() (median, p999, longest time.Duration) {
		var took []time.Duration
		for i := range 20_000 {
			key := fmt.Sprintf("device/%d/new", i*37%keys)
			start := time.Now()
			mustSet(b, ks, key, "1")
			took = append(took, time.Since(start))
			if _, err := ks.Delete(b.Context(), key); err != nil {
				b.Fatal(err)
			}
		}
		slices.Sort(took)
		return took[len(took)/2], took[len(took)*999/1000], took[len(took)-1]
	}
	for b.Loop() {
		median, p999, longest := measure()
		b.ReportMetric(float64(median.Microseconds()), "µs/make-alone")
		b.ReportMetric(float64(p999.Microseconds()), "µs/p99.9-alone")
		b.ReportMetric(float64(longest.Microseconds()), "µs/max-alone")

		ctx, stop := context.WithCancel(b.Context())
		var wg sync.WaitGroup
		walks := 0
		var walking time.Duration
		wg.Go(func() {
			for ctx.Err() == nil {
				start := time.Now()
				if _, err := ks.List(ctx, keyspace.Query{Pattern: "+/+/none", Limit: 1}); err == nil {
					walks++
					walking += time.Since(start)
				}
			}
		})
		median, p999, longest = measure()
		stop()
		wg.Wait()
		b.ReportMetric(float64(median.Microseconds()), "µs/make-beside")
		b.ReportMetric(float64(p999.Microseconds()), "µs/p99.9-beside")
		b.ReportMetric(float64(longest.Microseconds()), "µs/max-beside")
		if walks > 0 {
			b.ReportMetric(float64(walking.Milliseconds())/float64(walks), "ms/walk")
		}
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkSetWhileKeysExpire measures one writer, alone and while 100,000 other keys
// expire that are due at the same time.
func BenchmarkSetWhileKeysExpire(b *testing.B) {
	const keys = 100_000
	for b.Loop() {
		ks := open(b, keyspace.Options{})
		measure := func(until func() bool) (n int, median, p99, longest time.Duration) {
			var took []time.Duration
			for !until() {
				start := time.Now()
				mustSet(b, ks, "writer", "1")
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			return len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1]
		}
		end := time.Now().Add(time.Second)
		_, median, p99, longest := measure(func() bool { return time.Now().After(end) })
		b.ReportMetric(float64(median.Nanoseconds()), "ns/set-alone")
		b.ReportMetric(float64(p99.Microseconds()), "µs/p99-alone")
		b.ReportMetric(float64(longest.Microseconds()), "µs/max-alone")
		due := time.Now().Add(3 * time.Second)
		for i := range keys {
			setFor(b, ks, fmt.Sprint("device/", i), "1", time.Until(due))
		}
		time.Sleep(time.Until(due))
		start := time.Now()
		_, median, p99, longest = measure(func() bool { return ks.Expiries() == 0 })
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/expiring")
		b.ReportMetric(float64(median.Nanoseconds()), "ns/set-beside")
		b.ReportMetric(float64(p99.Microseconds()), "µs/p99-beside")
		b.ReportMetric(float64(longest.Microseconds()), "µs/max-beside")
	}
	b.ReportMetric(0, "ns/op")
}
