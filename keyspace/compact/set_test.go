package compact_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"rtdb/keyspace/compact"
)

// Sets are equal if they have the same elements, in whatever order these came.
func TestEqualSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		elements := rapid.SliceOfDistinct(rapid.IntRange(0, 200), rapid.ID).Draw(t, "elements")
		var a, b compact.Set[int]
		for _, x := range elements {
			a.Add(x)
		}
		for _, x := range rapid.Permutation(elements).Draw(t, "permutation") {
			b.Add(x)
		}
		if !a.Equal(&b) || !b.Equal(&a) {
			t.Fatalf("%v and %v are not equal", a.All(), b.All())
		}
		if len(elements) == 0 {
			return
		}
		b.Remove(rapid.SampledFrom(elements).Draw(t, "removed"))
		if a.Equal(&b) || b.Equal(&a) {
			t.Fatalf("%v and %v are equal", a.All(), b.All())
		}
		b.Add(1000)
		if a.Equal(&b) || b.Equal(&a) {
			t.Fatalf("%v and %v are equal", a.All(), b.All())
		}
	})
}

// A set and a map of the same elements stay the same, while elements come and go.
func TestASetIsLikeAMap(t *testing.T) {
	const elements = 1000
	rapid.Check(t, func(t *rapid.T) {
		var s compact.Set[int]
		want := make(map[int]bool)
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			add := rapid.Bool().Draw(t, "add")
			from, n := rapid.IntRange(0, elements).Draw(t, "from"), rapid.IntRange(0, elements).Draw(t, "n")
			for x := from; x < min(from+n, elements); x++ {
				had := want[x]
				if add {
					want[x] = true
				} else {
					delete(want, x)
				}
				switch {
				case add && s.Add(x) == had:
					t.Fatalf("Add(%d) returned %v", x, had)
				case !add && s.Remove(x) != had:
					t.Fatalf("Remove(%d) returned %v", x, !had)
				}
			}
			if s.Len() != len(want) || len(s.All()) != len(want) {
				t.Fatalf("%d elements in a list of %d, want %d", s.Len(), len(s.All()), len(want))
			}
			for x := range elements {
				if s.Has(x) != want[x] {
					t.Fatalf("Has(%d) returned %v", x, !want[x])
				}
			}
			seen := make(map[int]bool)
			for _, x := range s.All() {
				if !want[x] || seen[x] {
					t.Fatalf("%d is in the list twice, or was removed", x)
				}
				seen[x] = true
			}
		}
	})
}

// Replace puts the memory of an equal string in the place of the first.
func TestReplace(t *testing.T) {
	var s compact.Set[string]
	for i := range 100 {
		s.Add(fmt.Sprint(i))
	}
	for i := range 101 {
		name := fmt.Sprint(i)
		s.Replace(name)
		if i < 100 && unsafe.StringData(s.All()[i]) != unsafe.StringData(name) {
			t.Fatalf("%q is not the new string", name)
		}
	}
	if s.Len() != 100 {
		t.Errorf("%d elements, want 100", s.Len())
	}
}

var sizes = []int{1, 10, 50, 100, 1000, 10_000, 1_000_000}

// BenchmarkAdd makes a set of names that come in random order, and measures its memory
// without that of the names.
func BenchmarkAdd(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			names := randomNames(n)
			var s compact.Set[string]
			b.ReportAllocs()
			for b.Loop() {
				s = compact.Set[string]{}
				for _, name := range names {
					s.Add(name)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/element")
			with := live()
			runtime.KeepAlive(s)
			s = compact.Set[string]{}
			b.ReportMetric(float64(with-live())/float64(n), "B/element")
			runtime.KeepAlive(names)
		})
	}
}

// BenchmarkHas looks up elements in random order.
func BenchmarkHas(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			names := randomNames(n)
			var s compact.Set[string]
			for _, name := range names {
				s.Add(name)
			}
			rand.Shuffle(n, func(i, j int) { names[i], names[j] = names[j], names[i] })
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if i++; i == n {
					i = 0
				}
				if !s.Has(names[i]) {
					b.Fatalf("%q is missing", names[i])
				}
			}
		})
	}
}

func randomNames(n int) []string {
	names := make([]string, n)
	for i, x := range rand.Perm(n) {
		names[i] = fmt.Sprintf("sensors/%08d/t", x)
	}
	return names
}

// live returns the bytes of the objects that are in use.
func live() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
