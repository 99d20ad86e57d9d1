package session_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/session"
)

func TestAClientThatFallsBehindIsReported(t *testing.T) {
	var lags []session.Lag
	o := session.Options{OnLag: func(l session.Lag) { lags = append(lags, l) }}
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, o, conn, func(t *testing.T, f fixture) {
		f.subscribe(t, "a", "b")
		// slow has the client take a while for one update, and n wait by then.
		slow := func(n int, took time.Duration) {
			t.Helper()
			f.set(t, "a", "0")
			synctest.Wait()
			for i := range n {
				f.set(t, []string{"a", "b"}[i%2], fmt.Sprint(i%10))
			}
			synctest.Wait()
			time.Sleep(took)
			conn.gate <- struct{}{}
			synctest.Wait()
			if n > 0 {
				conn.gate <- struct{}{}
			}
			synctest.Wait()
		}
		slow(0, time.Hour)
		slow(256, time.Second)
		if len(lags) != 0 {
			t.Fatalf("reported %+v for a client that keeps up", lags)
		}
		slow(300, 3*time.Second)
		want := session.Lag{PendingKeys: 2, PendingBytes: 300 * int64(len(`{"key":"a","value":1}`)), Behind: 3 * time.Second}
		if len(lags) != 1 || lags[0] != want {
			t.Fatalf("reported %+v, want %+v", lags, want)
		}
		slow(300, time.Second)
		if len(lags) != 1 {
			t.Errorf("reported again after %v", time.Second)
		}
		slow(300, session.LagInterval)
		if len(lags) != 2 {
			t.Errorf("%d reports, want another after %v", len(lags), session.LagInterval)
		}
		time.Sleep(time.Hour)
		close(conn.gate)
		for range 300 { // a burst that the client takes says nothing
			f.set(t, "a", "1")
		}
		synctest.Wait()
		if len(lags) != 2 {
			t.Errorf("reported a burst: %+v", lags[2:])
		}
	})
}
