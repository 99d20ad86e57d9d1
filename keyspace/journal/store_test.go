package journal

import (
	"os"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/keyspace/storetest"
)

func TestAJournalIsAStore(t *testing.T) {
	for name, fsync := range map[string]time.Duration{"always": Always, "interval": 10 * time.Millisecond, "never": Never} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, storetest.Options{
				Durable: true,
				Open: func(tb testing.TB, dir string) keyspace.Store {
					j, err := Open(dir, Options{Fsync: fsync, Observer: Observer{Failed: func(err error) { tb.Error(err) }}})
					if err != nil {
						tb.Fatal(err)
					}
					j.limits = limits{segment: 256 << 10, snapshot: 1 << 40} // many segments, and snapshots only on demand
					return j
				},
				Copy: func(tb testing.TB, dir string) string {
					copied := tb.TempDir()
					if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
						tb.Fatal(err)
					}
					return copied
				},
				Snapshot: func(s keyspace.Store) error {
					_, err := s.(*Journal).writeSnapshot()
					return err
				},
			})
		})
	}
}
