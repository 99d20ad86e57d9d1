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
