package session_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/session"
)

func TestAClientThatFallsBehindIsReported(t *testing.T) {
	var mu sync.Mutex
	var reported []session.Lag
	o := session.Options{OnLag: func(l session.Lag) {
		mu.Lock()
		defer mu.Unlock()
		reported = append(reported, l)
	}}
	lags := func() []session.Lag {
		mu.Lock()
		defer mu.Unlock()
		return reported
	}
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, o, conn, func(t *testing.T, f fixture) {
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
		wait(256, time.Hour)
		drain()
		wait(300, 200*time.Millisecond)
		drain()
		if len(lags()) != 0 {
			t.Fatalf("reported %+v for a client that keeps up", lags())
		}
		time.Sleep(time.Hour)
		// A client that takes nothing is reported, too.
		wait(300, 3*time.Second)
		want := session.Lag{PendingKeys: 2, PendingBytes: 300 * int64(len(`{"topic":"a","value":1}`)), Behind: 250 * time.Millisecond}
		if len(lags()) != 1 || lags()[0] != want {
			t.Fatalf("reported %+v, want %+v", lags(), want)
		}
		time.Sleep(session.LagInterval)
		synctest.Wait()
		if len(lags()) != 2 || lags()[1].Behind != want.Behind+session.LagInterval {
			t.Fatalf("reported %+v, want another after %v", lags(), session.LagInterval)
		}
		drain()
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(lags()) != 2 {
			t.Errorf("reported %+v of a client that has caught up", lags()[2:])
		}
		close(conn.gate)
		for range 300 { // a burst that the client takes is not a lag
			f.publish(t, "a", "1")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(lags()) != 2 {
			t.Errorf("reported a burst: %+v", lags()[2:])
		}
	})
}
