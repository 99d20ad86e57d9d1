package session_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"rtdb/keyspace"
	"rtdb/session"
)

// markText is a reply to Subscribe.
func markText(m keyspace.Mark) []byte { return fmt.Appendf(nil, "mark %d %v", m.Revision, m.Reset) }

// A key that several targets name is in the snapshot once, and each update comes once.
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
		synctest.Wait() // keys and topics have no common order
		f.publish(t, "t", "5")
		synctest.Wait()
		f.conn.want(t, `{"key":"a/1","value":1}`, `{"key":"a/2","value":2}`, `{"key":"b","value":3}`, "mark 3 false",
			`{"key":"a/1","value":4}`, `{"topic":"t","value":5}`)
	})
}

// If the keyspace cannot resume a target in the middle of a request, the client gets a
// snapshot of all targets: a reset is for the whole request.
func TestAResetIsForAllTargets(t *testing.T) {
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
		synctest.Wait() // it waits for space, in the middle of the first target
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

// If one target is invalid, no target is subscribed to. Earlier subscriptions stay.
func TestAnInvalidTargetUndoesTheWholeRequest(t *testing.T) {
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

// A topic has nothing to resume, so its subscription does not conflict with a reset.
func TestAResetWithATopicSendsTheSnapshotOnce(t *testing.T) {
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

func TestInvalidNamesAreRefused(t *testing.T) {
	inBubble(t, session.Options{}, new(fakeConn), func(t *testing.T, f fixture) {
		for name, err := range map[string]error{
			"Subscribe":        f.Subscribe(t.Context(), targets(keyspace.Key("#")), session.Start{}, noReply),
			"Unsubscribe":      f.Unsubscribe(t.Context(), targets(keyspace.Key(""))),
			"SubscribeTopic":   f.Subscribe(t.Context(), targets(keyspace.Topic("a//b")), session.Start{}, noReply),
			"UnsubscribeTopic": f.Unsubscribe(t.Context(), targets(keyspace.Topic(".."))),
			"a pattern":        f.Subscribe(t.Context(), targets(keyspace.Pattern("a/#/b")), session.Start{}, noReply),
			"no pattern":       f.Unsubscribe(t.Context(), targets(keyspace.Pattern("a+"))),
			"SetWill":          f.SetWill(t.Context(), session.Will{Target: keyspace.Key(""), Change: keyspace.Change{Value: []byte("1")}}),
		} {
			if !errors.Is(err, keyspace.ErrInvalidName) {
				t.Errorf("%s: %v, want ErrInvalidName", name, err)
			}
		}
	})
}

func TestTheMarkSeparatesOldUpdatesFromNew(t *testing.T) {
	inBubble(t, session.Options{}, new(fakeConn), func(t *testing.T, f fixture) {
		mark := func(m keyspace.Mark) []byte { return fmt.Appendf(nil, "mark %d", m.Revision) }
		entry := func(e keyspace.Entry) []byte { return fmt.Appendf(nil, "entry %d %s", e.Version, e.Value) }
		f.set(t, "k", "1")
		for range 2 {
			if err := f.Subscribe(t.Context(), targets(keyspace.Key("k")), session.Start{}, mark); err != nil {
				t.Fatal(err)
			}
			f.set(t, "k", "2")
		}
		for _, key := range []string{"k", "other"} {
			if err := f.Get(t.Context(), key, entry); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.ks.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		if err := f.Get(t.Context(), "k", entry); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f.conn.want(t, "mark 1", `{"key":"k","value":2}`, "mark 2", `{"key":"k","value":2}`, "entry 3 2", "entry 0 ",
			`{"key":"k","value":null,"deleted":true}`, "entry 4 ")
	})
}

// If a client does not read, a snapshot waits for it and does not fill the memory. In the
// end the client gets every key.
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
		for i := keys - 1; i >= keys-1000; i-- { // keys that the snapshot has not reached
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
		held := map[string]string{} // a key that was written after the snapshot passed it comes twice
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
