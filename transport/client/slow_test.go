package client_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/keyspace"
	"rtdb/transport/client"
)

// A slow consumer of a watch gets the newest change of each key, and no more changes wait
// than there are keys.
func TestASlowWatch(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		c := f.mustDial()
		watch := pull(t, client.Watch[int](t.Context(), c, "a/#", client.WithMarks()))
		watch.next() // the mark
		p := f.last()
		const keys, updates = 300, 4000
		for i := range updates {
			p.update(fmt.Sprintf("a/%d", i%keys), i, 1000+i)
		}
		for i := range updates { // keys that come and go
			p.update(fmt.Sprintf("a/x/%d", i), i, 100_000+2*i)
			p.send(fmt.Sprintf(`{"key":"a/x/%d","value":null,"version":%d,"deleted":true}`, i, 100_001+2*i))
		}
		p.update("a/end", 0, 1_000_000)
		synctest.Wait()
		versions, newest, total := map[string]uint64{}, map[string]int{}, 0
		for change := watch.next(); change.Key != "a/end"; change = watch.next() {
			if change.Version <= versions[change.Key] {
				t.Errorf("version %d of %s came after %d", change.Version, change.Key, versions[change.Key])
			}
			versions[change.Key] = change.Version
			if !change.Deleted {
				newest[change.Key] = change.Value
			}
			total++
		}
		if total > 2*(keys+256) {
			t.Errorf("%d changes waited for %d keys", total, keys)
		}
		for i := range keys {
			if got, want := newest[fmt.Sprintf("a/%d", i)], updates-updates%keys+i; got != want && got != want-keys {
				t.Errorf("a/%d ends at %d", i, got)
			}
		}
	})
}

// A watch that keeps up gets every change.
func TestAWatchThatKeepsUp(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		c := f.mustDial()
		watch := pull(t, client.Watch[int](t.Context(), c, "a", client.WithMarks()))
		watch.next()
		next := 0
		for range 50 {
			for i := range 256 {
				f.last().update("a", next+i, 1000+next+i)
			}
			synctest.Wait()
			for range 256 {
				if got := watch.next(); got.Value != next {
					t.Fatalf("got %d, want %d", got.Value, next)
				}
				next++
			}
		}
	})
}

// A message that is longer than the limit of waiting bytes comes if no other message waits.
func TestALongMessage(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		c := f.mustDial()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		listener := pull(t, client.Listen[string](ctx, c, "chat"))
		text := strings.Repeat("x", 1<<20)
		go func() {
			time.Sleep(time.Second)
			f.last().send(fmt.Sprintf(`{"topic":"chat","value":%q}`, text))
		}()
		if m := listener.next(); m.Value != text || m.Missed != 0 {
			t.Errorf("got %d bytes, %d missed", len(m.Value), m.Missed)
		}
	})
}

// For a slow listener at most 1024 messages and 1 MiB wait. It is told of the others.
func TestASlowListener(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		c := f.mustDial()
		listener := pull(t, client.Listen[string](t.Context(), c, "chat/#"))
		p := f.last()
		say := func(topic, text string, n int) {
			for range n {
				p.send(fmt.Sprintf(`{"topic":%q,"value":%q}`, topic, text))
			}
			synctest.Wait()
		}
		go func() {
			time.Sleep(time.Second)
			p.send(`{"topic":"chat/a","value":"first"}`)
		}()
		listener.next()
		say("chat/a", "hello", 3000)
		say("chat/b", "hello", 2)
		take := func() (messages, missed int) {
			for missed < 1978 {
				m := listener.next()
				missed += m.Missed
				if m.Missed == 0 {
					messages++
				} else if m.Value != "" || m.Missed < 0 {
					t.Errorf("%+v", m)
				}
			}
			return messages, missed
		}
		if messages, missed := take(); messages != 1024 || missed != 1978 {
			t.Errorf("%d messages, %d missed", messages, missed)
		}

		// The notice comes before the next message of the topic, if there is one.
		say("chat/a", strings.Repeat("x", 1<<20-10), 2)
		if m := listener.next(); len(m.Value) != 1<<20-10 {
			t.Errorf("%.20v", m)
		}
		say("chat/a", "again", 1)
		if m := listener.next(); m.Missed != 1 || m.Topic != "chat/a" {
			t.Errorf("%+v", m)
		}
		if m := listener.next(); m.Value != "again" {
			t.Errorf("%+v", m)
		}

		// The server's own notices, and a gap.
		go p.send(`{"topic":"chat/a","missed":7}`)
		if m := listener.next(); m.Missed != 7 || m.Topic != "chat/a" {
			t.Errorf("%+v", m)
		}
		go p.send(`{"topic":"chat/a","missed":true}`)
		if m := listener.next(); m.Missed != -1 || m.Topic != "chat/a" {
			t.Errorf("%+v", m)
		}
		p.cut()
		if m := listener.next(); m.Missed != -1 || m.Topic != "chat/#" {
			t.Errorf("%+v", m)
		}
	})
}

// The keys of pushes rise, also within a millisecond.
func TestPushedKeysRise(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		c := f.mustDial()
		var keys []string
		for i := range 1000 {
			if i%100 == 99 {
				time.Sleep(time.Millisecond)
			}
			keys = append(keys, must(client.Push(t.Context(), c, "log", i)))
		}
		if !slices.IsSorted(keys) || len(slices.Compact(slices.Clone(keys))) != len(keys) {
			t.Error("the keys do not rise")
		}
		for _, key := range keys {
			level, ok := strings.CutPrefix(key, "log/")
			if !ok || len(level) != 26 || strings.Trim(level, "0123456789abcdefghjkmnpqrstvwxyz") != "" || level[0] > '7' {
				t.Fatalf("the key is %q", key)
			}
		}
		if key := must(client.Push(t.Context(), c, "", 1)); len(key) != 26 {
			t.Errorf("a key without a prefix is %q", key)
		}
		if key := must(client.Push(t.Context(), c, "log/", 1)); strings.Contains(key, "//") {
			t.Errorf("a key is %q", key)
		}
	})
}

// The client finds the subscriptions of an update by the rules of the server.
func TestPatternsMatchAsTheServerDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	name := func(levels ...string) string {
		parts := make([]string, 1+r.IntN(4))
		for i := range parts {
			parts[i] = levels[r.IntN(len(levels))]
		}
		return strings.Join(parts, "/")
	}
	for range 100_000 {
		pattern, key := name("a", "b", "+", "#"), name("a", "b", "ab")
		if keyspace.CheckPattern(pattern) != nil {
			continue
		}
		if got, want := client.Matches(pattern, key), keyspace.Matches(pattern, key); got != want {
			t.Fatalf("%s matches %s: %t, want %t", pattern, key, got, want)
		}
	}
}
