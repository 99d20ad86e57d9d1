package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"rtdb/transport"
	"rtdb/transport/client"
	"rtdb/transport/transporttest"
)

func TestListLevel(t *testing.T) {
	s := transporttest.NewServer(t, transport.Options{})
	c, ctx := dial(t, s.URL()), timeout(t)
	for _, key := range []string{"a", "a!", "a!/x", "a/b", "a/b/c", "a/b/d", "a/c/d", "a0", "b/1"} {
		must(client.Set(ctx, c, key, key))
	}
	level := func(o client.ListOptions) (found []string) {
		t.Helper()
		for l, err := range client.ListLevel[string](ctx, c, o) {
			if err != nil {
				t.Fatal(err)
			}
			if l.Prefix != "" {
				found = append(found, fmt.Sprint(l.Prefix, l.Keys))
			} else {
				found = append(found, l.Entry.Value)
			}
		}
		return found
	}
	for _, test := range []struct {
		prefix string
		want   string
	}{
		{"", "a a! a!/1 a/4 a0 b/1"}, {"a", "a a! a!/1 a/4 a0"}, {"a/", "a/b a/b/2 a/c/1"}, {"c", ""},
	} {
		want := strings.Fields(test.want)
		for size := range 4 {
			if got := level(client.ListOptions{Prefix: test.prefix, PageSize: size}); !slices.Equal(got, want) {
				t.Errorf("%q by %d: %q, want %q", test.prefix, size, got, want)
			}
		}
		slices.Reverse(want)
		if got := level(client.ListOptions{Prefix: test.prefix, Reverse: true}); !slices.Equal(got, want) {
			t.Errorf("%q in reverse: %q, want %q", test.prefix, got, want)
		}
	}
	for _, err := range client.ListLevel[int](ctx, c, client.ListOptions{}) {
		var wrong *client.ValueError
		if !errors.As(err, &wrong) || wrong.Name != "a" {
			t.Errorf("a value that is no number: %v", err)
		}
	}
}

func TestDeletePattern(t *testing.T) {
	s := transporttest.NewServer(t, transport.Options{})
	c, ctx := dial(t, s.URL()), timeout(t)
	const keys = 1203 // more than one request deletes
	for i := range keys {
		must(client.Set(ctx, c, fmt.Sprintf("d/%d", i), i))
	}
	must(client.Set(ctx, c, "e", 1))
	if n, err := client.DeletePattern(ctx, c, "d/#"); n != keys || err != nil {
		t.Fatalf("deleted %d, %v", n, err)
	}
	if n, err := client.DeletePattern(ctx, c, "d/#"); n != 0 || err != nil {
		t.Errorf("again: deleted %d, %v", n, err)
	}
	var left []string
	for e, err := range client.List[json.RawMessage](ctx, c, client.ListOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, e.Key)
	}
	if !slices.Equal(left, []string{"e"}) {
		t.Errorf("%q are left", left)
	}
	if _, err := client.DeletePattern(ctx, c, "a#"); err == nil || !strings.Contains(err.Error(), "invalid_name") || errors.Is(err, client.ErrUnknownOutcome) {
		t.Errorf("a bad pattern: %v", err)
	}
}

// A delete of many keys whose answer does not come is not sent again.
func TestDeletePatternWithoutAnAnswer(t *testing.T) {
	s := transporttest.NewServer(t, transport.Options{})
	calls := 0
	c := dial(t, s.URL(), client.WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodDelete {
			calls++
			return nil, errors.New("cut")
		}
		return http.DefaultTransport.RoundTrip(r)
	})}))
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	if _, err := client.DeletePattern(timeout(t), c, "#"); !errors.Is(err, client.ErrUnknownOutcome) || calls != 1 {
		t.Errorf("%v after %d requests", err, calls)
	}
	began := time.Now()
	_ = c.Close()
	if _, err := client.DeletePattern(timeout(t), c, "#"); err == nil || time.Since(began) > patience/2 {
		t.Errorf("with a closed client: %v", err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
