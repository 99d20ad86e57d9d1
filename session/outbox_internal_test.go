package session

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"rtdb/keyspace"
)

// Several updates that are pushed with one call are as if each had been pushed alone, whatever
// waits before.
func TestUpdatesThatArePushedTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var together, alone outbox
		update := func() *keyspace.Update {
			u := &keyspace.Update{Target: keyspace.Key(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key"))}
			u.Encoded(0, func(*keyspace.Update) []byte { return make([]byte, rapid.IntRange(1, 400).Draw(t, "bytes")) })
			return u
		}
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			default:
				var updates []*keyspace.Update
				bytes := 0
				for range rapid.IntRange(1, 100).Draw(t, "updates") {
					u := update()
					updates, bytes = append(updates, u), bytes+len(u.Text(0))
				}
				wake, behind := together.pushUpdates(Message{}, updates, bytes)
				wantWake, wantBehind := false, false
				for _, u := range updates {
					var w bool
					w, wantBehind = alone.push(&Message{update: u})
					wantWake = wantWake || w
				}
				if wake != wantWake || behind != wantBehind {
					t.Fatalf("wake %v, behind %v, want %v and %v", wake, behind, wantWake, wantBehind)
				}
			case 0:
				m := newText([]byte("reply"))
				m.Reply, m.requested = true, true
				for range rapid.IntRange(1, 300).Draw(t, "replies") {
					together.push(&m)
					alone.push(&m)
				}
			case 1:
				for _, b := range []*outbox{&together, &alone} {
					b.take()
					b.finish(0)
				}
			}
			if got, want := contents(&together), contents(&alone); got != want {
				t.Fatalf("together:\n%s\nalone:\n%s", got, want)
			}
		}
	})
}

// contents describes what waits, and what is counted.
func contents(b *outbox) string {
	var waiting []string
	for _, m := range b.items[b.head:] {
		waiting = append(waiting, fmt.Sprintf("%p %d", m.update, len(m.Text())))
	}
	places := make([]string, 0, len(b.places))
	for key, number := range b.places {
		places = append(places, fmt.Sprint(key, number))
	}
	slices.Sort(places)
	return fmt.Sprint(waiting, places, b.updates, b.offered, b.pushed, b.requested, b.fence, b.fenced, b.base, b.conflated, b.awake)
}
