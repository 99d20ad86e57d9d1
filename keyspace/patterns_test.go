package keyspace_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"rtdb/keyspace"
)

// The trie agrees with Matches and with regular expressions, while patterns come and go.
func TestTheTrieAgreesWithMatches(t *testing.T) {
	levels := []string{"a", "b", "c"}
	rapid.Check(t, func(t *rapid.T) {
		draw := func(what string, wild ...string) string {
			n := rapid.IntRange(1, 4).Draw(t, "levels")
			name := make([]string, n)
			for i := range name {
				name[i] = rapid.SampledFrom(append(wild, levels...)).Draw(t, what)
			}
			return strings.Join(name, "/")
		}
		ks, err := keyspace.Open(keyspace.Options{})
		if err != nil {
			t.Fatal(err)
		}
		subscribed := map[string]*recorder{}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			pattern := draw("pattern", "+", "+")
			if rapid.Bool().Draw(t, "all below") {
				pattern += "/#"
			}
			if r := subscribed[pattern]; r != nil {
				if err := ks.Unsubscribe(t.Context(), keyspace.Pattern(pattern), r); err != nil {
					t.Fatal(err)
				}
				delete(subscribed, pattern)
			} else {
				r := newRecorder()
				if err := ks.Subscribe(t.Context(), keyspace.Pattern(pattern), r, keyspace.Start{}); err != nil {
					t.Fatal(err)
				}
				subscribed[pattern] = r
			}
			name := draw("name")
			version, err := ks.Set(t.Context(), name, []byte("1"))
			if err != nil {
				t.Fatal(err)
			}
			if err := ks.GetInOrder(t.Context(), name, func(keyspace.Entry) {}); err != nil {
				t.Fatal(err)
			}
			for pattern, r := range subscribed {
				received := r.versions[name]
				got := len(received) > 0 && received[len(received)-1] == version
				if want := matches(pattern, name); got != want || keyspace.Matches(pattern, name) != want {
					t.Fatalf("pattern %s, key %s: received %v, Matches %v, want %v", pattern, name, got, keyspace.Matches(pattern, name), want)
				}
			}
		}
		if err := ks.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// A subscriber of a key and of several patterns receives each update once, and nothing
// after its last subscription has ended.
func TestAnUpdateIsDeliveredOnce(t *testing.T) {
	ks := open(t, keyspace.Options{})
	var in, other inbox
	if _, err := subscribe(ks, t.Context(), "a/b", &in); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"#", "a/+", "a/#", "+/b"} {
		for _, s := range []*inbox{&in, &other} {
			if err := ks.Subscribe(t.Context(), keyspace.Pattern(pattern), s, keyspace.Start{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	setAndWait := func(key string) {
		t.Helper()
		mustSet(t, ks, key, "1")
		if err := ks.GetInOrder(t.Context(), key, func(keyspace.Entry) {}); err != nil {
			t.Fatal(err)
		}
	}
	setAndWait("a/b")
	setAndWait("c")
	want := []string{`{"key":"a/b","value":1}`, `{"key":"c","value":1}`}
	wantMessages(t, &in, want...)
	wantMessages(t, &other, want...)
	for _, pattern := range []string{"#", "a/+", "a/#", "+/b", "not/subscribed"} {
		if err := ks.Unsubscribe(t.Context(), keyspace.Pattern(pattern), &in); err != nil {
			t.Fatal(err)
		}
	}
	setAndWait("a/b")
	setAndWait("a/c")
	wantMessages(t, &in, append(want, want[0])...)
	if err := ks.Unsubscribe(t.Context(), keyspace.Key("a/b"), &in); err != nil {
		t.Fatal(err)
	}
	setAndWait("a/b")
	wantMessages(t, &in, append(want, want[0])...)
}

// Subscriptions come and go while keys are written. Nothing is delivered after
// Unsubscribe has returned.
func TestPatternsComeAndGoUnderWriters(t *testing.T) {
	ks := open(t, keyspace.Options{})
	w := newWorkload(ks, 64)
	stop := w.run(t, 4)
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			for i := range 300 {
				r := newRecorder()
				pattern := []string{"#", "k/+/#", "+/2/+", fmt.Sprintf("k/%d/#", n)}[i%4]
				if err := ks.Subscribe(t.Context(), keyspace.Pattern(pattern), r, keyspace.Start{}); err != nil {
					t.Error(err)
				}
				mustSet(t, ks, "k/2/now", "1")
				if err := ks.Unsubscribe(t.Context(), keyspace.Pattern(pattern), r); err != nil {
					t.Error(err)
				}
				r.mu.Lock()
				before := len(r.versions)
				r.mu.Unlock()
				mustSet(t, ks, "k/2/now", "2")
				r.mu.Lock()
				if len(r.versions) != before {
					t.Error("an update was delivered after Unsubscribe has returned")
				}
				r.mu.Unlock()
			}
		})
	}
	wg.Wait()
	stop()
}
