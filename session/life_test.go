package session_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/keyspace"
	"rtdb/session"
)

func TestCloseSendsTheMessagesThatWait(t *testing.T) {
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{}, conn, func(t *testing.T, f fixture) {
		f.subscribe(t, "k")
		for i := range 3 {
			f.set(t, "k", fmt.Sprint(i))
		}
		synctest.Wait()
		restart := errors.New("restart")
		f.Close(restart)
		f.Close(errors.New("a later cause does not count"))
		f.set(t, "k", "99")
		synctest.Wait()
		if len(conn.causes) != 0 {
			t.Error("closed before the messages that waited were sent")
		}
		close(conn.gate)
		synctest.Wait()
		conn.want(t, `{"key":"k","value":0}`, `{"key":"k","value":1}`, `{"key":"k","value":2}`)
		conn.wantClosed(t, restart)
	})
}

func TestAbortDropsTheMessagesThatWait(t *testing.T) {
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{}, conn, func(t *testing.T, f fixture) {
		f.subscribe(t, "k")
		for i := range 3 {
			f.set(t, "k", fmt.Sprint(i))
			synctest.Wait()
		}
		f.Abort(errDone)
		close(conn.gate)
		synctest.Wait()
		conn.want(t, `{"key":"k","value":0}`) // it was being sent
		conn.wantClosed(t, errDone)
	})
	t.Run("idle", func(t *testing.T) {
		inBubble(t, session.Options{}, new(fakeConn), func(t *testing.T, f fixture) {
			f.Abort(errDone)
			synctest.Wait()
			f.conn.wantClosed(t, errDone)
		})
	})
}

func TestEndEndsAllSubscriptions(t *testing.T) {
	inBubble(t, session.Options{}, new(fakeConn), func(t *testing.T, f fixture) {
		f.subscribe(t, "a", "b", "c")
		if err := f.Subscribe(t.Context(), targets(keyspace.Topic("t")), session.Start{}, noReply); err != nil {
			t.Fatal(err)
		}
		f.set(t, "a", "1")
		synctest.Wait()
		f.Abort(errDone)
		stats, err := f.End(t.Context())
		if err != nil || stats.Delivered != 1 || stats.Dropped != 0 {
			t.Errorf("End: %+v, %v", stats, err)
		}
		f.set(t, "a", "2")
		if err := f.ks.Publish(t.Context(), "t", []byte("3")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if again, _ := f.End(t.Context()); again != stats {
			t.Errorf("delivered or dropped more after the end: %+v", again)
		}
		f.conn.want(t, `{"key":"a","value":1}`)
	})
}

func TestEndGivesUpWithItsContext(t *testing.T) {
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{}, conn, func(t *testing.T, f fixture) {
		if err := f.Reply([]byte("r")); err != nil {
			t.Fatal(err)
		}
		f.Close(errDone)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := f.End(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("End: %v, want its context's error", err)
		}
		close(conn.gate)
	})
}

func TestDrainSendsTheMessagesThatWaitAndDoesNotClose(t *testing.T) {
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{}, conn, func(t *testing.T, f fixture) {
		for range 3 {
			if err := f.Reply([]byte("r")); err != nil {
				t.Fatal(err)
			}
		}
		settled := make(chan error)
		go func() { settled <- f.Drain(t.Context()) }()
		synctest.Wait()
		close(conn.gate)
		if err := <-settled; err != nil {
			t.Error(err)
		}
		conn.want(t, "r", "r", "r")
		if len(conn.causes) != 0 {
			t.Error("Close was called")
		}
	})
}

// StopSnapshot ends a snapshot that waits for the client and drops the rest of it. The
// session goes on: other requests are answered.
func TestStopSnapshotEndsTheSnapshot(t *testing.T) {
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{MaxPendingBytes: 20}, conn, func(t *testing.T, f fixture) {
		for i := range 5 {
			f.set(t, fmt.Sprint("k/", i), "1")
		}
		done := make(chan error, 1)
		go func() {
			done <- f.Subscribe(t.Context(), targets(keyspace.Pattern("k/#")), session.Start{Snapshot: true}, markText)
		}()
		synctest.Wait() // it waits for space
		f.StopSnapshot()
		synctest.Wait()
		select {
		case err := <-done:
			if !errors.Is(err, session.ErrLeft) {
				t.Errorf("Subscribe: %v, want ErrLeft", err)
			}
		default:
			t.Error("Subscribe still waits")
		}
		f.set(t, "k/1", "2") // it is not subscribed to any more
		if err := f.Reply([]byte("r")); err != nil {
			t.Error(err)
		}
		start := session.Start{Snapshot: true}
		if err := f.Subscribe(t.Context(), targets(keyspace.Key("k/1")), start, markText); !errors.Is(err, session.ErrLeft) {
			t.Errorf("the next snapshot: %v, want ErrLeft", err)
		}
		close(conn.gate)
		synctest.Wait()
		conn.want(t, `{"key":"k/0","value":1}`, "r") // the first was being sent
	})
}

// Drain ends a request that waits for space: nothing more is queued for a client that has
// left.
func TestDrainEndsARequestThatWaits(t *testing.T) {
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{MaxPendingBytes: 20}, conn, func(t *testing.T, f fixture) {
		for range 2 { // the first is being sent
			if err := f.Reply([]byte("a long reply")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		f.set(t, "k", "1")
		waiting := make(chan error, 1)
		go func() {
			waiting <- f.Get(t.Context(), "k", func(keyspace.Entry) []byte { return []byte("too late") })
		}()
		synctest.Wait()
		drained := make(chan error, 1)
		go func() { drained <- f.Drain(t.Context()) }()
		synctest.Wait()
		if err := <-waiting; !errors.Is(err, session.ErrLeft) {
			t.Errorf("Get: %v, want ErrLeft", err)
		}
		close(conn.gate)
		if err := <-drained; err != nil {
			t.Error(err)
		}
		conn.want(t, "a long reply", "a long reply")
	})
}
