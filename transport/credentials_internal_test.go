package transport

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/transport/auth"
)

// A timer may fire too early, because the token was renewed at that moment or the
// clock was set back. Then the client is not warned yet, and is still warned and ended
// later.
func TestCredentialsWaitOnIfTheirTimerFiresEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		type event struct {
			what string
			at   time.Duration
		}
		var mu sync.Mutex
		var events []event
		note := func(what string) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, event{what, time.Since(start)})
		}
		c := newCredentials(&auth.Principal{Expires: start.Add(5 * time.Minute)},
			func(left time.Duration) { note("warned of " + left.String()) },
			func(error) { note("ended") })
		c.next()
		time.Sleep(time.Minute)
		c.next()
		time.Sleep(4*time.Minute - time.Second) // warned
		c.next()
		c.mu.Lock()
		c.current.Expires = c.current.Expires.Add(time.Second) // the clock was set back
		c.mu.Unlock()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		c.stop()
		want := []event{{"warned of 30s", 4*time.Minute + 30*time.Second}, {"ended", 5*time.Minute + time.Second}}
		if len(events) != 2 || events[0] != want[0] || events[1] != want[1] {
			t.Errorf("%v, want %v", events, want)
		}
	})
}
