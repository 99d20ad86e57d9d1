package session_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"rtdb/keyspace"
	"rtdb/session"
)

// Up to 256 updates wait one by one. Past that each key has its newest alone, at
// the place where it first waited, and none goes over a reply.
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

		set("first", 0) // in hand
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
		set("b", 1000) // it keeps up again
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

// A long update counts, too: 64 KiB are as good as 256 updates. And however
// much is written, no more waits than one update for each key.
func TestWhatWaitsIsBoundedByTheKeys(t *testing.T) {
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

// A client that reads nothing of a snapshot has little of it wait, though what
// it is told piles up meanwhile; and it gets all in the end.
func TestASnapshotWaitsForTheClient(t *testing.T) {
	const keys = 5000
	conn := &fakeConn{gate: make(chan struct{})}
	o := session.Options{MaxPendingBytes: 10_000}
	inBubble(t, o, conn, func(t *testing.T, f fixture) {
		for i := range keys {
			f.set(t, fmt.Sprintf("k/%04d", i), "0")
		}
		marked := make(chan error, 1)
		go func() {
			marked <- f.Subscribe(t.Context(), targets(keyspace.Pattern("k/#")), session.Start{Snapshot: true},
				func(keyspace.Mark) []byte { return []byte("mark") })
		}()
		synctest.Wait()
		for i := keys - 1; i >= keys-1000; i-- { // those that the snapshot has not come to
			f.set(t, fmt.Sprintf("k/%04d", i), "1")
		}
		synctest.Wait()
		select {
		case err := <-marked:
			t.Fatalf("the snapshot of %d keys was over before the client took it: %v", keys, err)
		default:
		}
		close(conn.gate)
		if err := <-marked; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		last := len(conn.got) - 1
		if last < keys || last > keys+1000 || conn.got[last] != "mark" {
			t.Fatalf("%d messages, the last %q; want each of %d keys, then the mark", len(conn.got), conn.got[last], keys)
		}
		held := map[string]string{} // a key that was passed and then written came twice
		for _, m := range conn.got[:last] {
			held[m[:len(`{"key":"k/0000"`)]] = m
		}
		for i := range keys {
			value := 0
			if i >= keys-1000 {
				value = 1
			}
			want := fmt.Sprintf(`{"key":"k/%04d","value":%d}`, i, value)
			if got := held[want[:len(`{"key":"k/0000"`)]]; got != want {
				t.Fatalf("the client ends at %s, want %s", got, want)
			}
		}
	})
}

// A client that asks and reads nothing: what it is told before each answer
// cannot be conflated across that, so its answers wait.
func TestAnswersDoNotUndoTheBound(t *testing.T) {
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{}, conn, func(t *testing.T, f fixture) {
		f.subscribe(t, "a")
		value := `"` + fmt.Sprintf("%060000d", 0) + `"`
		answered := 0
		done := make(chan error)
		go func() {
			for range 300 {
				if _, err := f.ks.Set(context.Background(), "a", []byte(value)); err != nil {
					done <- err
					return
				}
				if err := f.Reply([]byte("pong")); err != nil {
					done <- err
					return
				}
				answered++
			}
			done <- nil
		}()
		synctest.Wait()
		if most := session.DefaultMaxPendingBytes / 60000; answered > most {
			t.Errorf("%d answers, each with an update of 60 kB before it, wait; want %d at most", answered, most)
		}
		close(conn.gate)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// What waits of keys can be conflated, and does not count against topics.
func TestKeysDoNotEndASessionOfTopics(t *testing.T) {
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
			t.Errorf("one topic message ended the session: %v", f.Cause())
		}
		close(conn.gate)
	})
}
