package guard_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/transport/guard"
)

// A client may make twice as many requests at once as in a second, and then one when the
// wait is over. Other clients have rates of their own.
func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rates := guard.NewRates(2)
		for _, client := range []string{"a", "b"} {
			for i := range 4 {
				if wait, ok := rates.Take(client); !ok || wait != 0 {
					t.Fatalf("request %d of %s must wait %v", i, client, wait)
				}
			}
			for range 3 { // a refused request costs nothing
				if wait, ok := rates.Take(client); ok || wait != 500*time.Millisecond {
					t.Fatalf("%s: %v, accepted %v; want it refused for 500 ms", client, wait, ok)
				}
			}
		}
		time.Sleep(500*time.Millisecond - 1)
		if wait, ok := rates.Take("a"); ok || wait != 1 {
			t.Errorf("too early: wait %v, accepted %v; want 1 ns", wait, ok)
		}
		time.Sleep(time.Nanosecond)
		if _, ok := rates.Take("a"); !ok {
			t.Error("refused after the wait")
		}
		if _, ok := rates.Take("a"); ok {
			t.Error("two requests were accepted after the wait for one")
		}
		time.Sleep(time.Hour)
		accepted := 0
		for range 10 {
			if _, ok := rates.Take("a"); ok {
				accepted++
			}
		}
		if accepted != 4 {
			t.Errorf("%d requests at once after an hour, want 4", accepted)
		}
	})
}

// Rates forget idle clients. A client that goes on to call is not forgotten.
func TestRatesRememberClientsThatCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rates := guard.NewRates(0.1)
		for range 60 {
			if _, ok := rates.Take("busy"); ok && time.Now().Second()%10 != 0 {
				t.Errorf("accepted at %v", time.Now())
			}
			rates.Take(fmt.Sprint("idle ", time.Now()))
			time.Sleep(time.Second)
		}
	})
}

func TestARateOfZeroIsNoLimit(t *testing.T) {
	rates, throttle := guard.NewRates(0), guard.NewThrottle(0)
	for range 1000 {
		if wait, ok := rates.Take("a"); !ok || wait != 0 {
			t.Fatal("Rates refuse a request")
		}
		if ok, tooLong := throttle.Take(); !ok || tooLong {
			t.Fatal("the Throttle refuses a request")
		}
	}
}

// A session that sends too fast all the time is too fast for too long after 10 s.
func TestAThrottleReportsAnExcessOf10Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle := guard.NewThrottle(2)
		start := time.Now()
		var first time.Time // the first refusal
		accepted := 0
		for time.Since(start) < time.Minute {
			ok, tooLong := throttle.Take()
			switch {
			case ok:
				accepted++
			case first.IsZero():
				first = time.Now()
			}
			if tooLong {
				if took := time.Since(first); took != 10*time.Second {
					t.Errorf("too long after %v, want 10 s", took)
				}
				if accepted < 20 || accepted > 25 {
					t.Errorf("%d requests were accepted, want two a second and four more", accepted)
				}
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Error("never too long")
	})
}

// A session that slows down for more than a second begins a new excess.
func TestAThrottleForgivesASessionThatSlowsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle := guard.NewThrottle(2)
		for range 10 {
			refused := 0
			for range 8 * 10 {
				ok, tooLong := throttle.Take()
				if tooLong {
					t.Fatal("too long, but the session had slowed down")
				}
				if !ok {
					refused++
				}
				time.Sleep(100 * time.Millisecond)
			}
			if refused == 0 {
				t.Fatal("no request was refused")
			}
			time.Sleep(time.Second)
		}
	})
}
