package keyspace

import (
	"testing"

	"pgregory.net/rapid"
)

type someone struct{ n int }

func (*someone) Deliver(*Update) {}

// The list and its positions agree with a plain set.
func TestSubscribersAreASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := make([]*someone, 200)
		for i := range all {
			all[i] = &someone{i}
		}
		var s subscribers
		want := make(map[*someone]bool)
		for _, step := range rapid.SliceOfN(rapid.IntRange(-200, 199), 1, 1000).Draw(t, "steps") {
			if step >= 0 {
				s.add(all[step])
				want[all[step]] = true
			} else {
				s.remove(all[-step-1])
				delete(want, all[-step-1])
			}
			if len(s.list) != len(want) || s.empty() != (len(want) == 0) {
				t.Fatalf("%d subscribers, want %d", len(s.list), len(want))
			}
		}
		for _, x := range all {
			if s.has(x) != want[x] {
				t.Errorf("has %d: %v, want %v", x.n, s.has(x), want[x])
			}
		}
		for i, x := range s.list {
			if !want[x.(*someone)] || s.position(x) != i {
				t.Errorf("place %d has %d, which is at %d", i, x.(*someone).n, s.position(x))
			}
		}
	})
}
