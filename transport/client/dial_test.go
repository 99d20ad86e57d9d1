package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/transport/client"
)

// A wrong URL is refused at once, without a look at the network.
func TestDialRefusesWrongURLs(t *testing.T) {
	for _, url := range []string{"", "localhost:8080", "ftp://localhost", "http://", "http://me:secret@localhost", "http://localhost?token=secret", "http://local host"} {
		_, err := client.Dial(t.Context(), url)
		if err == nil || strings.Contains(err.Error(), "secret@") || !strings.Contains(err.Error(), "URL") {
			t.Errorf("Dial %q: %v", url, err)
		}
	}
}

// An answer that cannot become right by itself ends Dial at once, with one clear error.
func TestDialFailsAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(f *fake)
		is    error
		says  string
	}{
		"a web server": {func(f *fake) {
			f.refuse = func(w http.ResponseWriter, r *http.Request) bool { http.NotFound(w, r); return true }
		}, client.ErrNotRTDB, `answered 404 and "404 page not found`},
		"a page": {func(f *fake) {
			f.refuse = func(w http.ResponseWriter, _ *http.Request) bool { _, _ = io.WriteString(w, "<html>"); return true }
		}, client.ErrNotRTDB, `answered 200 and "<html>"`},
		"another WebSocket": {func(f *fake) { f.subset = []string{"graphql-ws"} }, client.ErrNotRTDB, "does not speak rtdb.v1"},
		"no JSON": {func(f *fake) {
			f.handle = func(p *peer, _ request) bool { p.send("welcome!"); return true }
		}, client.ErrNotRTDB, `it sent "welcome!"`},
		"a refused token": {func(f *fake) {
			f.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, `{"error":{"code":"unauthorized","message":"the token has expired"}}`)
				return true
			}
		}, client.ErrUnauthorized, "the token has expired (unauthorized)"},
		"a proxy that wants a login": {func(f *fake) {
			f.refuse = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusUnauthorized); return true }
		}, client.ErrUnauthorized, "answered 401"},
		"a host that does not exist": {func(f *fake) {
			f.dialing = func(context.Context) error { return &net.DNSError{Err: "no such host", Name: "fake", IsNotFound: true} }
		}, nil, "no such host"},
		"a name that is refused": {func(f *fake) {
			f.handle = func(p *peer, r request) bool { p.fail(r, "forbidden"); return true }
		}, client.ErrForbidden, "refused by the fake"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fake) {
				c.spoil(f)
				began := time.Now()
				_, err := f.dial(client.WithName("n"))
				if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("Dial: %v; want %q", err, c.says)
				}
				if took := time.Since(began); took > time.Second || len(f.attempts()) != 1 {
					t.Errorf("Dial took %v and %d attempts", took, len(f.attempts()))
				}
			})
		})
	}
}

// Dial waits for a server that cannot be reached yet, or is not ready.
func TestDialWaitsForTheServer(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		f.dialing = func(context.Context) error { return errors.New("connection refused") }
		f.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"error":{"code":"unavailable","message":"the server loads its state"}}`)
			return true
		}
		began := time.Now()
		time.AfterFunc(40*time.Second, func() { f.set(func() { f.dialing = nil }) })
		time.AfterFunc(80*time.Second, func() { f.set(func() { f.refuse = nil }) })
		f.mustDial()
		if took := time.Since(began); took < 80*time.Second || took > 101*time.Second {
			t.Errorf("Dial took %v", took)
		}
		for i, at := range f.attempts()[1:] {
			gap, since := at.Sub(f.attempts()[i]), f.attempts()[i].Sub(began)
			if since > 40*time.Second && since < 80*time.Second && gap < 3*time.Second {
				t.Errorf("the client came back after %v, before Retry-After", gap)
			}
		}
	})
	inBubble(t, func(t *testing.T, f *fake) {
		f.dialing = func(context.Context) error { return errors.New("connection refused") }
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		h := &http.Client{Transport: &http.Transport{DialContext: f.dialPipe}}
		_, err := client.Dial(ctx, "ws://fake", client.WithHTTPClient(h))
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("Dial: %v", err)
		}
	})
}

// Options that are nil or 0 stand for the default: they end no program, and the client
// neither pings nor connects without a pause.
func TestEmptyOptions(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		c := f.mustDial(client.WithLogger(nil), client.OnState(nil), client.WithToken(nil),
			client.WithPing(0, 0), client.WithWriteTimeout(0), client.WithBackoff(time.Second, 0))
		must(client.Set(t.Context(), c, "a", 1))
		time.Sleep(time.Minute)
		if n := len(f.requests("ping")); n > 4 {
			t.Errorf("%d pings in a minute", n)
		}
		f.set(func() { f.dialing = func(context.Context) error { return errors.New("connection refused") } })
		f.last().cut()
		time.Sleep(time.Minute)
		if n := len(f.attempts()); n < 3 || n > 60 {
			t.Errorf("%d attempts in a minute", n)
		}
	})
}

// The attempts of each minute are bounded, whatever the server does.
func TestNoRetryStorm(t *testing.T) {
	for name, spoil := range map[string]func(f *fake){
		"connection refused": func(f *fake) { f.dialing = func(context.Context) error { return errors.New("connection refused") } },
		"not rtdb any more": func(f *fake) {
			f.refuse = func(w http.ResponseWriter, r *http.Request) bool { http.NotFound(w, r); return true }
		},
		"no JSON": func(f *fake) {
			f.handle = func(p *peer, _ request) bool { p.send("welcome!"); return true }
		},
		"cut at once": func(f *fake) {
			f.handle = func(p *peer, _ request) bool { p.cut(); return true }
		},
		"cut after the first reply": func(f *fake) {
			f.handle = func(p *peer, r request) bool { p.reply(r, `"epoch":"e"`); p.cut(); return true }
		},
		"no JSON after the first reply": func(f *fake) {
			f.handle = func(p *peer, r request) bool { p.reply(r, `"epoch":"e"`); p.send("{"); return true }
		},
		"closed after the first reply": func(f *fake) {
			f.handle = func(p *peer, r request) bool {
				p.reply(r, `"epoch":"e"`)
				go p.conn.Close(1012, "restart")
				return true
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fake) {
				var states diary
				f.mustDial(client.OnState(states.note))
				began := time.Now()
				f.set(func() { spoil(f) })
				f.last().cut()
				time.Sleep(30 * time.Minute)
				perMinute := make([]int, 30)
				var gaps []time.Duration
				attempts := f.attempts()[1:]
				for i, at := range attempts {
					perMinute[int(at.Sub(began)/time.Minute)]++
					if i > 0 {
						gaps = append(gaps, at.Sub(attempts[i-1]))
					}
				}
				for minute, n := range perMinute {
					if n > 30 || n == 0 || minute > 0 && n > 20 {
						t.Errorf("minute %d has %d attempts", minute, n)
					}
				}
				if len(attempts) < 100 || len(attempts) > 300 { // 20 s at most, 10 s on average
					t.Errorf("%d attempts in half an hour", len(attempts))
				}
				short := 0
				for i, gap := range gaps {
					if gap > 21*time.Second {
						t.Errorf("gap %d is %v", i, gap)
					}
					if i > 6 && gap < 5*time.Second {
						short++
					}
				}
				if share := float64(short) / float64(len(gaps)); share < 0.1 || share > 0.45 { // full jitter: a quarter
					t.Errorf("%.0f%% of the gaps are below 5 s", 100*share)
				}
				if n, err := states.count(client.Waiting); n < len(attempts)-1 || err == nil {
					t.Errorf("OnState heard of %d failures, the last of which is %v", n, err)
				}
			})
		})
	}
}

// Only a connection that lasts for 5 s resets the back-off.
func TestBackoffIsResetByAStableConnection(t *testing.T) {
	for lasts, atMost := range map[time.Duration]time.Duration{6 * time.Second: 500 * time.Millisecond, 4 * time.Second: 20 * time.Second} {
		inBubble(t, func(t *testing.T, f *fake) {
			f.mustDial()
			var longest time.Duration
			for range 40 {
				p := f.last()
				time.Sleep(lasts)
				before, cut := len(f.attempts()), time.Now()
				p.cut()
				for len(f.attempts()) == before {
					time.Sleep(time.Millisecond)
				}
				longest = max(longest, time.Since(cut))
			}
			if longest > atMost+10*time.Millisecond || longest < atMost/2 {
				t.Errorf("connections that last %v: the longest wait is %v, want at most %v", lasts, longest, atMost)
			}
		})
	}
}

// An attempt to connect ends after 10 s, wherever it hangs.
func TestAnAttemptHasADeadline(t *testing.T) {
	hang := func(ctx context.Context) (string, error) {
		<-ctx.Done()
		return "", context.Cause(ctx)
	}
	for name, spoil := range map[string]func(f *fake) []client.Option{
		"in the network": func(f *fake) []client.Option {
			f.dialing = func(context.Context) error { time.Sleep(time.Minute); return errors.New("too late") }
			return nil
		},
		"before the answer": func(f *fake) []client.Option {
			f.refuse = func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
			return nil
		},
		"before the first reply": func(f *fake) []client.Option {
			f.handle = func(*peer, request) bool { return true }
			return nil
		},
		"in the token function": func(*fake) []client.Option { return []client.Option{client.WithToken(hang)} },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fake) {
				opts := spoil(f)
				var states diary
				ctx, cancel := context.WithCancel(t.Context())
				h := &http.Client{Transport: &http.Transport{DialContext: f.dialPipe}}
				opts = append(opts, client.OnState(states.note), client.WithHTTPClient(h))
				failed := make(chan error)
				go func() {
					_, err := client.Dial(ctx, "http://fake", opts...)
					failed <- err
				}()
				time.Sleep(10*time.Second - time.Millisecond)
				synctest.Wait()
				if n, err := states.count(client.Waiting); n != 0 {
					t.Errorf("the attempt ended early: %v", err)
				}
				time.Sleep(2 * time.Millisecond)
				synctest.Wait()
				if n, err := states.count(client.Waiting); n != 1 || !strings.Contains(err.Error(), "within 10s") {
					t.Errorf("after 10 s: %d, %v", n, err)
				}
				cancel()
				if err := <-failed; !errors.Is(err, context.Canceled) {
					t.Errorf("Dial: %v", err)
				}
				time.Sleep(time.Minute) // net/http does not end a dial early
			})
		})
	}
}
