package session_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"rtdb/session"
)

// Up to 256 updates wait, each on its own. If more wait, only the newest of each key waits,
// in the place of the oldest, and no update passes a reply.
func TestAClientThatFallsBehindGetsTheNewest(t *testing.T) {
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{}, conn, func(t *testing.T, f fixture) {
		f.subscribe(t, "first", "a", "b", "c")
		set := func(key string, value int) {
			f.set(t, key, fmt.Sprint(value))
			synctest.Wait()
		}
		var want []string
		told := func(key string, value int) { want = append(want, fmt.Sprintf(`{"key":%q,"value":%d}`, key, value)) }

		set("first", 0) // it is being sent
		told("first", 0)
		for i := range 257 {
			set("a", i)
		}
		told("a", 256)
		set("b", 1)
		told("b", 3)
		set("c", 1)
		told("c", 2)
		set("b", 2)
		set("b", 3)
		set("c", 2)
		if err := f.Reply([]byte("mark")); err != nil {
			t.Fatal(err)
		}
		want = append(want, "mark")
		for i := 4; i < 1000; i++ {
			set("c", i)
			set("b", i)
		}
		told("c", 999)
		told("b", 999)
		close(conn.gate)
		synctest.Wait()
		conn.want(t, want...)
		set("b", 1000) // the client keeps up again
		set("b", 1001)
		told("b", 1000)
		told("b", 1001)
		conn.want(t, want...)
		f.Abort(errDone)
		stats, err := f.End(t.Context())
		if offered := uint64(1 + 257 + 5 + 2*996 + 2); err != nil || stats.Dropped != 0 ||
			stats.Delivered+1 != uint64(len(want)) || stats.Conflated != offered-stats.Delivered {
			t.Errorf("stats %+v, %v", stats, err)
		}
	})
}

// Conflation also begins when 64 KiB of updates wait. Then at most one update of each key
// waits, even if many are written.
func TestAtMostOneUpdateOfEachKeyWaits(t *testing.T) {
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{MaxPendingBytes: 1000}, conn, func(t *testing.T, f fixture) {
		f.subscribe(t, "a", "b")
		value := `"` + fmt.Sprintf("%020000d", 0) + `"`
		for range 100 {
			f.set(t, "a", value)
			f.set(t, "b", value)
			synctest.Wait()
		}
		f.set(t, "a", "1")
		f.set(t, "b", "2")
		synctest.Wait()
		close(conn.gate)
		synctest.Wait()
		n := len(conn.got)
		if n > 10 || f.Ending() {
			t.Fatalf("%d updates, ended %v (%v)", n, f.Ending(), f.Cause())
		}
		for _, want := range []string{`{"key":"a","value":1}`, `{"key":"b","value":2}`} {
			key := want[:len(`{"key":"a"`)]
			last := slices.IndexFunc(conn.got, func(m string) bool { return m == want })
			if last < 0 || slices.ContainsFunc(conn.got[last+1:], func(m string) bool { return strings.HasPrefix(m, key) }) {
				t.Errorf("%s is not the last of its key: %.60q", want, conn.got)
			}
		}
	})
}

// Updates of keys that wait can be conflated, and do not count against the limit of topics.
func TestUpdatesOfKeysDoNotCountAgainstTheLimitOfTopics(t *testing.T) {
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{}, conn, func(t *testing.T, f fixture) {
		f.subscribeTopic(t, "t")
		value := `"` + fmt.Sprintf("%060000d", 0) + `"`
		for i := range 30 {
			f.subscribe(t, fmt.Sprint(i))
			f.set(t, fmt.Sprint(i), value)
		}
		f.publish(t, "t", "1")
		if f.Ending() {
			t.Errorf("a message of a topic ended the session: %v", f.Cause())
		}
		close(conn.gate)
	})
}
