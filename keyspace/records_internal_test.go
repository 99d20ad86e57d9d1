package keyspace

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

// The table agrees with a map, however it grows and shrinks.
func TestRecordsAgreeWithAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table records
		table.init(new(Keyspace))
		want := map[string]*record{}
		name := rapid.IntRange(0, rapid.SampledFrom([]int{1, 200, 3000}).Draw(t, "names"))
		for i := range rapid.IntRange(1, 2000).Draw(t, "steps") {
			n := fmt.Sprint("k", name.Draw(t, "name"))
			r, known := want[n]
			switch {
			case table.find(n) != r:
				t.Fatalf("step %d: found %v for %q, want %v", i, table.find(n), n, r)
			case known && rapid.Bool().Draw(t, "remove"):
				table.remove(r)
				delete(want, n)
			default:
				added := table.findOrAdd(n)
				if known && added != r || added.name != n {
					t.Fatalf("step %d: %q added %v, want %v", i, n, added, r)
				}
				want[n] = added
			}
		}
		got := slices.SortedFunc(table.all(), byName)
		if !slices.Equal(got, slices.SortedFunc(maps.Values(want), byName)) {
			t.Fatalf("the table holds %d records, want %d", len(got), len(want))
		}
		slots := 0
		for i := range table.shards {
			if p := table.shards[i].slots.Load(); p != nil {
				slots += len(*p)
			}
		}
		if most := 8*len(want) + 8*2*recordShards; slots > most {
			t.Fatalf("%d slots for %d records, want at most %d", slots, len(want), most)
		}
	})
}

func byName(a, b *record) int { return strings.Compare(a.name, b.name) }

// A record that stays in the table is found all the time, while others come and go around it.
func TestARecordIsFoundWhileOthersComeAndGo(t *testing.T) {
	var table records
	table.init(new(Keyspace))
	stays := make([]*record, 500)
	for i := range stays {
		stays[i] = table.findOrAdd(fmt.Sprint("stays", i))
	}
	var done atomic.Bool
	var changing, reading sync.WaitGroup
	for w := range 2 {
		changing.Go(func() {
			for round := range 30 {
				var added []*record
				for i := range 400 * (1 + round%3) {
					added = append(added, table.findOrAdd(fmt.Sprint(w, " ", i)))
				}
				for _, r := range added {
					table.remove(r)
				}
			}
		})
		reading.Go(func() {
			for !done.Load() {
				for _, r := range stays {
					if got := table.find(r.name); got != r {
						t.Errorf("found %v, want %v", got, r)
						return
					}
				}
			}
		})
	}
	changing.Wait()
	done.Store(true)
	reading.Wait()
	if n := len(slices.Collect(table.all())); n != len(stays) {
		t.Errorf("%d records, want %d", n, len(stays))
	}
}
