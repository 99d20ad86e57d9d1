package session_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"rtdb/keyspace"
	"rtdb/session"
)

func markText(m keyspace.Mark) []byte { return fmt.Appendf(nil, "mark %d %v", m.Revision, m.Reset) }

// However often a key is named, it is in the snapshot once, and told once.
func TestASnapshotHasEachKeyOnce(t *testing.T) {
	inBubble(t, session.Options{}, new(fakeConn), func(t *testing.T, f fixture) {
		f.set(t, "a/1", "1")
		f.set(t, "a/2", "2")
		f.set(t, "b", "3")
		names := targets(keyspace.Key("a/1"), keyspace.Key("b"), keyspace.Key("a/1"),
			keyspace.Pattern("a/+"), keyspace.Pattern("#"), keyspace.Pattern("a/+"), keyspace.Topic("t"), keyspace.Topic("t"))
		if err := f.Subscribe(t.Context(), names, session.Start{Snapshot: true}, markText); err != nil {
			t.Fatal(err)
		}
		f.set(t, "a/1", "4")
		f.publish(t, "t", "5")
		synctest.Wait()
		f.conn.want(t, `{"key":"a/1","value":1}`, `{"key":"a/2","value":2}`, `{"key":"b","value":3}`, "mark 3 false",
			`{"key":"a/1","value":4}`, `{"topic":"t","value":5}`)
	})
}

// Where it turns out in the middle that not all is known any more, the client
// gets everything of everything: reset is of the whole request.
func TestResetIsOfAllNames(t *testing.T) {
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{MaxPendingBytes: 20}, conn, func(t *testing.T, f fixture) {
		for _, key := range []string{"a/1", "a/2", "a/3", "b", "gone"} {
			f.set(t, key, "1")
		}
		done := make(chan error, 1)
		go func() {
			names := targets(keyspace.Pattern("a/#"), keyspace.Pattern("b"))
			done <- f.Subscribe(t.Context(), names, session.Start{Resume: true, Since: 1}, markText)
		}()
		synctest.Wait() // it waits for room, in the middle of the first name
		if _, err := f.ks.Delete(t.Context(), "gone"); err != nil {
			t.Fatal(err)
		}
		for i := range keyspace.RememberedDeletes + 1 {
			f.set(t, fmt.Sprint("x/", i), "1")
			if _, err := f.ks.Delete(t.Context(), fmt.Sprint("x/", i)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		close(conn.gate)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		end := len(conn.got) - 5
		if got := fmt.Sprint(conn.got[end:]); got != fmt.Sprintf(`[{"key":"a/1","value":1} {"key":"a/2","value":1} {"key":"a/3","value":1} {"key":"b","value":1} mark %d true]`, f.ks.Revision()) {
			t.Errorf("the client got %q", conn.got)
		}
	})
}

// A name that fails takes the others with it, but for those that were there.
func TestAllNamesOrNone(t *testing.T) {
	inBubble(t, session.Options{}, new(fakeConn), func(t *testing.T, f fixture) {
		f.subscribe(t, "before")
		names := targets(keyspace.Key("before"), keyspace.Key("after"), keyspace.Key("a//b"), keyspace.Pattern("#"))
		if err := f.Subscribe(t.Context(), names, session.Start{}, markText); !errors.Is(err, keyspace.ErrInvalidName) {
			t.Errorf("Subscribe: %v, want ErrInvalidName", err)
		}
		f.set(t, "after", "1")
		f.set(t, "before", "1")
		synctest.Wait()
		f.conn.want(t, `{"key":"before","value":1}`)
	})
}

// A topic has nothing to resume, and does not make a reset one of two kinds.
func TestAResetWithATopic(t *testing.T) {
	inBubble(t, session.Options{}, new(fakeConn), func(t *testing.T, f fixture) {
		f.set(t, "k", "1")
		names := targets(keyspace.Pattern("#"), keyspace.Topic("t"))
		if err := f.Subscribe(t.Context(), names, session.Start{Resume: true, Since: 99}, markText); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f.conn.want(t, `{"key":"k","value":1}`, "mark 1 true")
	})
}
