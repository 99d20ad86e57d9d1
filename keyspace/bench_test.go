package keyspace_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"rtdb/keyspace"
)

// BenchmarkKeyAtRest measures the memory of a key without subscribers: the key's struct
// with its actor, its state, and its entries in the directory and the index. The bytes of
// the key's name and value are not counted.
func BenchmarkKeyAtRest(b *testing.B) {
	const n = 200_000
	for b.Loop() {
		ks := open(b, keyspace.Options{})
		names, values := make([]string, n), make([][]byte, n)
		payload := 0
		for i := range n {
			names[i] = fmt.Sprintf("building/%d/floor/%d/temp", i%100, i)
			values[i] = fmt.Appendf(nil, `{"celsius":%d}`, i)
			payload += len(names[i])
		}
		before := heapInUse()
		for i := range n {
			if _, err := ks.Set(context.Background(), names[i], values[i]); err != nil {
				b.Fatal(err)
			}
		}
		// Names are copied by the keyspace, values are not.
		b.ReportMetric(float64(heapInUse()-before-uint64(payload))/n, "B/key")
		runtime.KeepAlive(names)
		runtime.KeepAlive(values)
	}
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

func BenchmarkGet(b *testing.B) {
	ks := open(b, keyspace.Options{})
	mustSet(b, ks, "building/3/temp", "22")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ks.Get("building/3/temp"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSet(b *testing.B) {
	value := []byte(`{"celsius":22}`)
	b.Run("idle", func(b *testing.B) { // one writer, each time another key
		ks := open(b, keyspace.Options{})
		names := make([]string, 10_000)
		for i := range names {
			names[i] = fmt.Sprint("device/", i)
		}
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if _, err := ks.Set(context.Background(), names[i%len(names)], value); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
	b.Run("contended", func(b *testing.B) { // 64 writers, one key
		ks := open(b, keyspace.Options{})
		b.ReportAllocs()
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := ks.Set(context.Background(), "k", value); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

// A counter is a Subscriber that costs almost nothing.
type counter struct{ n atomic.Uint64 }

func (c *counter) Deliver(*keyspace.Update) { c.n.Add(1) }

func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ks := open(b, keyspace.Options{})
			for range n {
				if _, err := subscribe(ks, context.Background(), "k", new(counter)); err != nil {
					b.Fatal(err)
				}
			}
			value := []byte(`{"celsius":22}`)
			b.ReportAllocs()
			writes := 0
			for b.Loop() {
				if _, err := ks.Set(context.Background(), "k", value); err != nil {
					b.Fatal(err)
				}
				writes++
			}
			if err := ks.Shutdown(context.Background()); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(writes*n), "ns/delivery")
		})
	}
}
