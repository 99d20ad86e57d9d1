package session_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/actor"
	"rtdb/session"
)

// reports are the lags that a session reported.
type reports struct {
	mu  sync.Mutex
	all []session.Lag
}

func (r *reports) add(l session.Lag) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, l)
}

func (r *reports) want(t *testing.T, when string, lags ...session.Lag) {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.all, lags) {
		t.Fatalf("%s: reported %+v, want %+v", when, r.all, lags)
	}
}

// wantLag compares the session's status with a lag, whose keys Inspect does not count.
func (f fixture) wantLag(t *testing.T, when string, lagging bool, want session.Lag) {
	t.Helper()
	synctest.Wait()
	keys := want.PendingKeys
	want.PendingKeys = 0
	if s := f.Inspect(); s.Lagging != lagging || s.Lag != want || f.PendingKeys() != keys {
		t.Fatalf("%s: lagging %v, %+v, %d keys; want %v, %+v, %d keys", when, s.Lagging, s.Lag, f.PendingKeys(), lagging, want, keys)
	}
}

// sessionKinds runs a test for a session that shares a pool, and for one that does not.
func sessionKinds(t *testing.T, gate bool, test func(t *testing.T, f fixture, r *reports)) {
	for _, kind := range []string{"pooled", "not pooled"} {
		t.Run(kind, func(t *testing.T) {
			r, conn := new(reports), new(fakeConn)
			o := session.Options{OnLag: r.add}
			if kind == "pooled" {
				o.Pool = &actor.Pool{Interval: 2 * time.Millisecond}
			}
			if gate {
				conn.gate = make(chan struct{})
			}
			inBubble(t, o, conn, func(t *testing.T, f fixture) { test(t, f, r) })
		})
	}
}

const length = int64(len(`{"key":"a","value":1}`))

// A client that takes nothing lags after a second, although little waits for it, and also
// if nothing is written after the update that is stuck. Its updates are not conflated.
func TestAClientThatTakesNothingLagsAfterASecond(t *testing.T) {
	sessionKinds(t, true, func(t *testing.T, f fixture, r *reports) {
		f.subscribe(t, "a", "b")
		f.set(t, "a", "1") // the Conn has it, and nothing else waits
		time.Sleep(time.Second)
		r.want(t, "after 1 s")
		f.wantLag(t, "after 1 s", false, session.Lag{PendingKeys: 1, PendingBytes: length, Oldest: time.Second})
		time.Sleep(time.Second)
		lags := []session.Lag{{PendingKeys: 1, PendingBytes: length, Oldest: 1001 * time.Millisecond}}
		r.want(t, "after 2 s", lags...)
		f.wantLag(t, "after 2 s", true, session.Lag{PendingKeys: 1, PendingBytes: length, Oldest: 2 * time.Second})

		f.set(t, "b", "2")
		f.set(t, "a", "3")
		synctest.Wait()
		time.Sleep(session.LagInterval)
		lags = append(lags, session.Lag{PendingKeys: 2, PendingBytes: 3 * length, Oldest: session.LagInterval + 1001*time.Millisecond})
		r.want(t, "after 12 s", lags...)

		close(f.conn.gate)
		synctest.Wait()
		f.conn.want(t, `{"key":"a","value":1}`, `{"key":"b","value":2}`, `{"key":"a","value":3}`)
		f.wantLag(t, "when the client has caught up", false, session.Lag{})
		time.Sleep(time.Hour)
		r.want(t, "after an hour", lags...)
	})
}

// An update may be stuck behind a reply, which is older and is not an update.
func TestAnUpdateBehindAReplyLags(t *testing.T) {
	sessionKinds(t, true, func(t *testing.T, f fixture, r *reports) {
		f.subscribe(t, "a")
		if err := f.Reply([]byte("reply")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		time.Sleep(5*time.Second + 300*time.Millisecond)
		r.want(t, "while only a reply waits")
		f.set(t, "a", "1")
		time.Sleep(time.Second)
		r.want(t, "a second later")
		time.Sleep(time.Second)
		r.want(t, "two seconds later", session.Lag{PendingKeys: 1, PendingBytes: length + 5, Oldest: 1001 * time.Millisecond})
		close(f.conn.gate)
	})
}

// A client that keeps up does not lag, however long it is watched, nor does one that takes
// each update within a second.
func TestAClientThatKeepsUpDoesNotLag(t *testing.T) {
	sessionKinds(t, false, func(t *testing.T, f fixture, r *reports) {
		f.subscribe(t, "a")
		for range 10_000 {
			f.set(t, "a", "1")
			time.Sleep(7 * time.Millisecond)
		}
		r.want(t, "of a client that takes each update at once")
	})
	sessionKinds(t, true, func(t *testing.T, f fixture, r *reports) {
		f.subscribe(t, "a")
		for range 100 {
			f.set(t, "a", "1")
			time.Sleep(900 * time.Millisecond)
			f.conn.gate <- struct{}{}
		}
		r.want(t, "of a client that takes each update after 0.9 s")
		close(f.conn.gate)
	})
}

// A client that has fallen behind is reported after 250 ms, before its updates are old.
func TestAClientThatFallsBehindIsReported(t *testing.T) {
	r := new(reports)
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{OnLag: r.add}, conn, func(t *testing.T, f fixture) {
		f.subscribeTopic(t, "a")
		f.subscribeTopic(t, "b")
		// wait queues n updates behind one that is being sent, and waits for the time took.
		wait := func(n int, took time.Duration) {
			t.Helper()
			f.publish(t, "a", "0")
			for i := range n {
				f.publish(t, []string{"a", "b"}[i%2], fmt.Sprint(i%10))
			}
			time.Sleep(took)
			synctest.Wait()
		}
		drain := func() {
			t.Helper()
			for range 2 {
				conn.gate <- struct{}{}
				synctest.Wait()
			}
		}
		wait(256, 900*time.Millisecond)
		drain()
		wait(300, 200*time.Millisecond)
		drain()
		r.want(t, "of a client that keeps up")
		time.Sleep(time.Hour)
		// A client that takes nothing is reported, too.
		wait(300, 3*time.Second)
		lag := session.Lag{PendingKeys: 2, PendingBytes: 301 * int64(len(`{"topic":"a","value":1}`)), Oldest: 250 * time.Millisecond}
		r.want(t, "of a client that is behind", lag)
		later := lag
		later.Oldest += session.LagInterval
		time.Sleep(session.LagInterval)
		r.want(t, "10 s later", lag, later)
		drain()
		time.Sleep(time.Hour)
		r.want(t, "of a client that has caught up", lag, later)
		close(conn.gate)
		for range 300 { // a burst that the client takes is not a lag
			f.publish(t, "a", "1")
		}
		time.Sleep(time.Minute)
		r.want(t, "of a client that takes a burst", lag, later)
	})
}
