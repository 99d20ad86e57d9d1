package journal_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/keyspace/journal"
)

// BenchmarkSet measures writes of 1000 goroutines through a keyspace.
func BenchmarkSet(b *testing.B) {
	for name, fsync := range map[string]time.Duration{"memory": -2, "always": journal.Always, "never": journal.Never} {
		b.Run(name, func(b *testing.B) {
			o := keyspace.Options{}
			if fsync != -2 {
				j, err := journal.Open(b.TempDir(), journal.Options{Fsync: fsync})
				if err != nil {
					b.Fatal(err)
				}
				o.Store = j
			}
			ks, err := keyspace.Open(o)
			if err != nil {
				b.Fatal(err)
			}
			const writers = 1000
			keys := make([]string, 10_000)
			for i := range keys {
				keys[i] = fmt.Sprintf("k%04d", i)
			}
			value := make([]byte, 64)
			b.ReportAllocs()
			b.ResetTimer()
			var writing sync.WaitGroup
			for w := range writers {
				writing.Go(func() {
					for n := w; n < b.N; n += writers {
						if _, err := ks.Set(context.Background(), keys[n%len(keys)], value); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			writing.Wait()
			b.StopTimer()
			if err := ks.Shutdown(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
