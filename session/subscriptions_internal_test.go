package session

import (
	"fmt"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"rtdb/keyspace"
)

// Subscriptions are like a map of targets, of which there are none, one or many.
func TestSubscriptionsAreASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s subscriptions
		want := make(map[keyspace.Target]bool)
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			x := keyspace.Target{
				Kind: keyspace.Kind(rapid.IntRange(0, int(keyspace.Kinds)-1).Draw(t, "kind")),
				Name: fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "name")),
			}
			had := want[x]
			if rapid.Bool().Draw(t, "add") {
				want[x] = true
				if s.add(x) == had {
					t.Fatalf("add(%v) returned %v", x, had)
				}
			} else {
				delete(want, x)
				if s.remove(x) != had {
					t.Fatalf("remove(%v) returned %v", x, !had)
				}
			}
			if s.has(x) != want[x] {
				t.Fatalf("has(%v) is %v", x, !want[x])
			}
			n := 0
			for x := range s.all() {
				n++
				if !want[x] {
					t.Fatalf("%v was removed", x)
				}
			}
			if n != len(want) || s.len() != n {
				t.Fatalf("%d targets, and a length of %d, want %d", n, s.len(), len(want))
			}
		}
	})
}

// After share, the set holds the keyspace's string.
func TestShare(t *testing.T) {
	var s subscriptions
	for i := range 2 { // one target is kept in another way than two
		s.add(keyspace.Key(fmt.Sprint(i)))
		shared := keyspace.Key(fmt.Sprint(i))
		s.share(shared)
		if got := s.names(keyspace.KindKey)[i]; unsafe.StringData(got) != unsafe.StringData(shared.Name) || s.len() != i+1 {
			t.Errorf("target %d is not the string that it shares", i)
		}
	}
}

// A session with one subscription needs no memory besides the struct.
func TestOneSubscriptionDoesNotAllocate(t *testing.T) {
	var s subscriptions
	if n := testing.AllocsPerRun(10, func() {
		s.add(keyspace.Key("k"))
		s.remove(keyspace.Key("k"))
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
