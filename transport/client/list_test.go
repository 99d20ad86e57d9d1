package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"rtdb/transport/client"
)

// list lists all keys, and returns how many there are and the error.
func list(ctx context.Context, c *client.Client) (n int, err error) {
	for _, err := range client.List[int](ctx, c, client.ListOptions{}) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// Each kind of failure of a list is one clear error. A failure that may pass is tried again
// until the write timeout.
func TestListsThatFail(t *testing.T) {
	for name, c := range map[string]struct {
		status   int
		body     string
		is       error
		says     string
		attempts bool // more than one
	}{
		"a refusal":        {400, `{"error":{"code":"invalid_name","message":"no"}}`, nil, "rtdb: no (invalid_name)", false},
		"a refused token":  {401, `{"error":{"code":"unauthorized","message":"no"}}`, client.ErrUnauthorized, "(unauthorized)", false},
		"a refused list":   {403, `{"error":{"code":"forbidden","message":"no"}}`, client.ErrForbidden, "(forbidden)", false},
		"not rtdb":         {404, `not here`, client.ErrNotRTDB, "check the URL", false},
		"a page":           {200, `<html>`, client.ErrNotRTDB, "check the URL", false},
		"another document": {200, `[1]`, client.ErrNotRTDB, "check the URL", false},
		"a bad value":      {200, `{"items":[{"key":"a","value":"x","version":1}]}`, nil, `the value of "a" does not parse`, false},
		"an endless list":  {200, `{"items":[],"next":"a"}`, nil, "the same page again", false},
		"unavailable":      {503, `{"error":{"code":"unavailable","message":"loading"}}`, client.ErrOffline, "loading", true},
		"a broken proxy":   {502, `bad gateway`, client.ErrOffline, "answered 502", true},
		"cut off":          {200, `{"items":[{"key":"a"`, client.ErrOffline, "cut off", true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fake) {
				cl, n := f.mustDial(), 0
				f.set(func() {
					f.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
						n++
						w.Header().Set("Content-Type", "application/json")
						w.WriteHeader(c.status)
						_, _ = io.WriteString(w, c.body)
						return true
					}
				})
				began := time.Now()
				_, err := list(t.Context(), cl)
				if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("List: %v; want %q", err, c.says)
				}
				if took := time.Since(began); took > 10*time.Second || n > 30 || (n > 2) != c.attempts {
					t.Errorf("%d attempts in %v", n, took)
				}
			})
		})
	}
}

// A server that answers with the same page again and again makes no endless loop.
func TestEndlessPages(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		c, n := f.mustDial(), 0
		f.set(func() {
			f.refuse = func(w http.ResponseWriter, r *http.Request) bool {
				if n++; n > 10 {
					w.WriteHeader(http.StatusTeapot)
					return true
				}
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"deleted":1,"prefixes":[{"prefix":"a/","keys":1}],"next":"a/"}`)
				return true
			}
		})
		const want = `the page after "a/" with the same page again`
		var err error
		for _, err = range client.ListLevel[int](t.Context(), c, client.ListOptions{}) {
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ListLevel: %v", err)
		}
		if deleted, err := client.DeletePattern(t.Context(), c, "a/#"); deleted != 2 || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("DeletePattern: %d, %v", deleted, err)
		}
	})
}

// A list goes on when the failure has passed, and ends with its context or the client.
func TestAListThatIsTriedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		var m mint
		c, n := f.mustDial(client.WithToken(m.token)), 0
		f.set(func() {
			f.refuse = func(w http.ResponseWriter, r *http.Request) bool {
				if n++; n%2 == 1 {
					w.Header().Set("Retry-After", "2")
					w.WriteHeader(http.StatusServiceUnavailable)
					return true
				}
				w.Header().Set("Content-Type", "application/json")
				next := fmt.Sprintf(`,"next":"%d"`, n)
				if n == 6 {
					next = ""
				}
				_, _ = fmt.Fprintf(w, `{"items":[{"key":"%s","value":1,"version":1}]%s}`, r.Header.Get("Authorization"), next)
				return true
			}
		})
		began := time.Now()
		if items, err := list(t.Context(), c); items != 3 || err != nil || time.Since(began) < 6*time.Second {
			t.Errorf("%d items, %v", items, err)
		}
		f.set(func() {
			f.refuse = func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := list(ctx, c); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after its context: %v", err)
		}
		time.AfterFunc(time.Second, func() { _ = c.Close() })
		if _, err := list(t.Context(), c); !errors.Is(err, client.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}
