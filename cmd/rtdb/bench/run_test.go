package bench_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rtdb/cmd/rtdb/bench"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func shortRun(url string) bench.Options {
	return bench.Options{
		URL: url, Subscribers: 6, Keys: 3, Subscriptions: 2, Publishers: 2, Rate: 600,
		Size: 40, Duration: 200 * time.Millisecond, Patience: 500 * time.Millisecond,
	}
}

func TestServerKeepsTheContract(t *testing.T) {
	t.Parallel()
	for name, adjust := range map[string]func(*bench.Options){
		"by rate":                  func(*bench.Options) {},
		"without a rate":           func(o *bench.Options) { o.Rate = 0 },
		"more keys than a window":  func(o *bench.Options) { o.Rate, o.Keys, o.Subscriptions, o.Publishers = 0, 500, 0, 7 },
		"keys without subscribers": func(o *bench.Options) { o.Rate, o.Keys, o.Subscribers = 0, 50, 3 },
		"no subscribers":           func(o *bench.Options) { o.Rate, o.Subscribers = 0, 0 },
		"all are slow":             func(o *bench.Options) { o.Slow = 1 },
		"connections one by one":   func(o *bench.Options) { o.ConnectionsPerSecond = 100 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFakeServer(t)
			o := shortRun(f.url)
			adjust(&o)
			r, err := bench.Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Err(); err != nil {
				t.Error(err)
			}
			if r.Writes == 0 || r.Conflated != 0 || r.LeftOver != "" {
				t.Errorf("%d writes, %d conflated, left %q; want some writes, none conflated, no keys left", r.Writes, r.Conflated, r.LeftOver)
			}
			if r.SentBytes < r.Writes*int64(o.Size) || r.ReceivedBytes < r.Deliveries*int64(o.Size) {
				t.Errorf("%d bytes sent, %d received; want at least those of %d writes and %d deliveries",
					r.SentBytes, r.ReceivedBytes, r.Writes, r.Deliveries)
			}
			subscriptions := r.Subscribers * r.Subscriptions
			if r.Keys*(subscriptions/r.Keys) == subscriptions && o.Rate > 0 { // all keys have the same number
				if want := r.Writes * int64(subscriptions/r.Keys); r.Deliveries != want {
					t.Errorf("%d deliveries, want %d", r.Deliveries, want)
				}
			}
			if o.Rate > 0 && r.Writes+r.WritesMissed != 120 {
				t.Errorf("%d writes and %d missed, want 120 in all", r.Writes, r.WritesMissed)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.deleted != len(f.values) {
				t.Errorf("%d of %d keys deleted", f.deleted, len(f.values))
			}
		})
	}
}

func TestServerBreaksTheContract(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	before := make(map[string]fakeUpdate)
	last := func(u fakeUpdate) (fakeUpdate, bool) {
		mu.Lock()
		defer mu.Unlock()
		old, ok := before[u.key]
		before[u.key] = u
		return old, ok
	}
	for name, c := range map[string]struct {
		alter   func(fakeUpdate) []fakeUpdate
		closeAt uint64
		want    string
		check   func(bench.Report) bool
	}{
		"the last updates are lost": {
			alter: func(u fakeUpdate) []fakeUpdate {
				if u.version > 60 {
					return nil
				}
				return []fakeUpdate{u}
			},
			want:  "12 subscriptions did not receive the last update of their key",
			check: func(r bench.Report) bool { return r.Lost == 12 },
		},
		"a version comes twice": {
			alter: func(u fakeUpdate) []fakeUpdate { return []fakeUpdate{u, u} },
			want:  "after version",
			check: func(r bench.Report) bool { return r.Lost == 0 && r.Wrong == r.Deliveries },
		},
		"an older update comes again": {
			alter: func(u fakeUpdate) []fakeUpdate {
				if old, ok := last(u); ok {
					return []fakeUpdate{u, old}
				}
				return []fakeUpdate{u}
			},
			want:  "after version",
			check: func(r bench.Report) bool { return r.Lost == 0 && r.Wrong > 0 },
		},
		"an older value comes with a new version": {
			alter: func(u fakeUpdate) []fakeUpdate {
				if old, ok := last(u); ok {
					u.value = old.value
				}
				return []fakeUpdate{u}
			},
			want:  "after write",
			check: func(r bench.Report) bool { return r.Lost > 0 && r.Wrong > 0 },
		},
		"a value is altered": {
			alter: func(u fakeUpdate) []fakeUpdate {
				u.value = []byte(strings.ReplaceAll(string(u.value), "..", ".."+"!"))
				return []fakeUpdate{u}
			},
			want:  "a subscriber received an unexpected message",
			check: func(r bench.Report) bool { return r.Deliveries == 0 && r.Lost == 12 },
		},
		"it closes the subscribers": {
			closeAt: 60,
			want:    "6 connections ended before they should (6 with close code 4008)",
			check:   func(r bench.Report) bool { return r.CloseCodes["4008"] == 6 && r.Lost == 12 },
		},
	} {
		for rateName, rate := range map[string]float64{"by rate": 600, "without a rate": 0} {
			if rateName != "by rate" && (name != "it closes the subscribers") {
				continue
			}
			t.Run(name+" "+rateName, func(t *testing.T) {
				t.Parallel()
				f := startFakeServer(t)
				f.alter, f.closeAt = c.alter, c.closeAt
				o := shortRun(f.url)
				o.Rate = rate
				r, err := bench.Run(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				if err := r.Err(); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				if !c.check(r) {
					t.Errorf("got report %+v", r)
				}
			})
		}
	}
}

func TestSkippedUpdateCountsAsConflated(t *testing.T) {
	t.Parallel()
	f := startFakeServer(t)
	f.alter = func(u fakeUpdate) []fakeUpdate {
		if u.version <= 60 && u.version%2 == 0 {
			return nil
		}
		return []fakeUpdate{u}
	}
	r, err := bench.Run(t.Context(), shortRun(f.url))
	if err != nil {
		t.Fatal(err)
	}
	if r.Err() != nil || r.Conflated != 120 || r.Deliveries+r.Conflated != 4*r.Writes {
		t.Errorf("%v: %d conflated and %d delivered of %d writes, want 120 and the rest", r.Err(), r.Conflated, r.Deliveries, r.Writes)
	}
}

// A latency counts from when the write was due: if a server pauses once, all writes that
// were due during the pause are late.
func TestLatencyCountsFromDueTime(t *testing.T) {
	f := startFakeServer(t)
	once := sync.OnceFunc(func() { time.Sleep(150 * time.Millisecond) })
	f.alter = func(u fakeUpdate) []fakeUpdate {
		if u.version > 30 {
			once()
		}
		return []fakeUpdate{u}
	}
	o := shortRun(f.url)
	o.Duration = 300 * time.Millisecond
	r, err := bench.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	// The server pauses for half of the time. A write that is due in the pause waits
	// 75 ms on average.
	if r.Latency.Max < 140 || r.Latency.P99 < 100 {
		t.Errorf("latencies are %v, want a p99 near the 150 ms of the pause", r.Latency)
	}
}

func TestRunFails(t *testing.T) {
	f := startFakeServer(t)
	f.refuse = "rate_limited"
	otherServer := httptest.NewServer(nil) // answers 404
	defer otherServer.Close()
	for name, c := range map[string]struct {
		url, want string
		rate      float64
	}{
		"writes are refused":                {f.url, "the server refused a write: rate_limited: no", 600},
		"writes are refused without a rate": {f.url, "the server refused a write: rate_limited: no", 0},
		"no such path":                      {otherServer.URL, "of 8 connected: the server answered 404", 600},
		"nothing listens":                   {"http://127.0.0.1:1", "cannot connect: ", 600},
	} {
		t.Run(name, func(t *testing.T) {
			o := shortRun(c.url)
			o.Rate = c.rate
			if _, err := bench.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestRunIsInterrupted(t *testing.T) {
	t.Parallel()
	f := startFakeServer(t)
	o := shortRun(f.url)
	o.Duration = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.alter = func(u fakeUpdate) []fakeUpdate {
		if u.version == 60 {
			cancel()
		}
		return []fakeUpdate{u}
	}
	r, err := bench.Run(ctx, o)
	if err != nil || r.Err() != nil || !r.Interrupted || r.Deliveries != 4*r.Writes {
		t.Errorf("%v %v %+v; want an interrupted run without an error", err, r.Err(), r)
	}
	if _, err := bench.Run(ctx, o); err == nil || !strings.Contains(err.Error(), "canceled") && !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("a run that was interrupted before it began: %v", err)
	}
}
