package keyspace_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"rtdb/keyspace"
)

func TestCheckPattern(t *testing.T) {
	for _, good := range []string{
		"a", "a/b", "+", "#", "+/+", "a/+/b", "a/#", "+/#", "a/+/#", "$SYS/#", "ä/+", strings.Repeat("a", 512), " ",
	} {
		if err := keyspace.CheckPattern(good); err != nil {
			t.Errorf("CheckPattern(%q): %v", good, err)
		}
	}
	for bad, reason := range map[string]string{
		"":                       "empty",
		"#/a":                    "not the last level",
		"a/#/b":                  "not the last level",
		"a#":                     "levels of their own",
		"a/b+":                   "levels of their own",
		"++":                     "levels of their own",
		"##":                     "levels of their own",
		"+#":                     "levels of their own",
		"/+":                     "empty level",
		"+/":                     "empty level",
		"a//#":                   "empty level",
		"./+":                    `"."`,
		"+/..":                   `".."`,
		"+\n":                    "U+000A",
		"\xff/+":                 "UTF-8",
		strings.Repeat("a", 513): "513 bytes",
	} {
		err := keyspace.CheckPattern(bad)
		if !errors.Is(err, keyspace.ErrInvalidName) || !strings.Contains(err.Error(), reason) {
			t.Errorf("CheckPattern(%q): %v, want one that says %q", bad, err, reason)
		}
	}
}

// The examples of MQTT 3.1.1, section 4.7, but for those with empty levels,
// which no name has, and with '$', which is nothing special.
func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"sport/tennis/player1/#", "sport/tennis/player1", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
		{"sport/tennis/player1/#", "sport/tennis/player10", false},
		{"sport/#", "sport", true},
		{"#", "sport/tennis", true},
		{"sport/tennis/+", "sport/tennis/player1", true},
		{"sport/tennis/+", "sport/tennis/player1/ranking", false},
		{"sport/+", "sport", false},
		{"+", "sport", true},
		{"+", "sport/tennis", false},
		{"+/tennis/#", "sport/tennis", true},
		{"+/tennis/#", "sport/tennis/a/b", true},
		{"+/tennis/#", "tennis", false},
		{"+/+/#", "a", false},
		{"+/#", "a", true},
		{"#", "$SYS/monitor", true},
		{"+/monitor", "$SYS/monitor", true},
		{"a/b", "a/b", true},
		{"a/b", "a/b/c", false},
		{"a/b", "a", false},
	} {
		if got := keyspace.Matches(c.pattern, c.name); got != c.want {
			t.Errorf("Matches(%q, %q) is %v", c.pattern, c.name, got)
		}
	}
}

// The trie agrees with Matches, and with another way to tell, whatever patterns
// come and go.
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
				told := r.versions[name]
				got := len(told) > 0 && told[len(told)-1] == version
				if want := matches(pattern, name); got != want || keyspace.Matches(pattern, name) != want {
					t.Fatalf("pattern %s, key %s: told %v, Matches %v, want %v", pattern, name, got, keyspace.Matches(pattern, name), want)
				}
			}
		}
		if err := ks.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// What a subscriber is told by a key and by several patterns it is told once,
// and nothing after the last of them is gone.
func TestSeveralWaysAreOne(t *testing.T) {
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
	told := func(key string) {
		t.Helper()
		mustSet(t, ks, key, "1")
		if err := ks.GetInOrder(t.Context(), key, func(keyspace.Entry) {}); err != nil {
			t.Fatal(err)
		}
	}
	told("a/b")
	told("c")
	want := []string{`{"key":"a/b","value":1}`, `{"key":"c","value":1}`}
	wantMessages(t, &in, want...)
	wantMessages(t, &other, want...)
	for _, pattern := range []string{"#", "a/+", "a/#", "+/b", "none/of/it"} {
		if err := ks.Unsubscribe(t.Context(), keyspace.Pattern(pattern), &in); err != nil {
			t.Fatal(err)
		}
	}
	told("a/b")
	told("a/c")
	wantMessages(t, &in, append(want, want[0])...)
	if err := ks.Unsubscribe(t.Context(), keyspace.Key("a/b"), &in); err != nil {
		t.Fatal(err)
	}
	told("a/b")
	wantMessages(t, &in, append(want, want[0])...)
}

// Subscriptions come and go while the keys are written: nothing is told after
// UnsubscribePattern has returned, and what is told has no gap.
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
					t.Error("told after UnsubscribePattern has returned")
				}
				r.mu.Unlock()
			}
		})
	}
	wg.Wait()
	stop()
}
