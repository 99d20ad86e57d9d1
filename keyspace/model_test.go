package keyspace_test

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"rtdb/keyspace"
)

// Random commands agree with a plain map, and with the updates that each subscriber
// must receive of each name.
func TestAgainstAPlainMap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Pass only a rapid.TB. Rapid asks a *testing.T for its deadline, and
		// that fails in a bubble.
		rapid.Check(struct{ rapid.TB }{t}, func(t *rapid.T) {
			ks, err := keyspace.Open(keyspace.Options{Store: keyspace.NewMemory(1)})
			if err != nil {
				t.Fatal(err)
			}
			m := &model{
				ks: ks, values: map[string]entry{}, deleted: map[string]uint64{}, subs: map[subscription]bool{},
			}
			for i := range m.boxes {
				m.boxes[i].received = map[string][]string{}
				m.want[i] = map[string][]string{}
			}
			t.Repeat(map[string]func(*rapid.T){
				"set": m.set, "patch": m.patch, "delete": m.delete, "touch": m.touch, "batch": m.batch, "burst": m.burst, "get": m.get, "list": m.list,
				"publish": m.publish, "topics": m.topics, "subscribe": m.subscribe, "unsubscribe": m.unsubscribe, "wait": m.wait, "": m.check,
			})
			if err := ks.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// An entry is the value of a key in the model.
type entry struct {
	value   string
	version uint64
	written time.Time
	expires time.Time
}

// agrees reports whether a keyspace's entry is the entry.
func (h entry) agrees(e keyspace.Entry) bool {
	ttl := time.Duration(0)
	if !h.expires.IsZero() {
		ttl = time.Until(h.expires)
	}
	return e.Version == h.version && string(e.Value) == h.value && e.Written == h.written.UnixMilli() && e.TTL == ttl
}

// A subscription is of a key, a topic, or a pattern of either, by one of the boxes.
type subscription struct {
	box        int
	kind, name string
}

func (s subscription) target() keyspace.Target {
	switch s.kind {
	case "topic":
		return keyspace.Topic(s.name)
	case "pattern":
		return keyspace.Pattern(s.name)
	case "topic pattern":
		return keyspace.TopicPattern(s.name)
	}
	return keyspace.Key(s.name)
}

// A box is a Subscriber that keeps the updates that it receives, by name.
type box struct {
	mu       sync.Mutex
	received map[string][]string
}

func (b *box) Deliver(u *keyspace.Update) {
	b.mu.Lock()
	defer b.mu.Unlock()
	name := u.Target.Name
	if u.Target.Kind == keyspace.KindTopic {
		name = "topic " + name
	}
	b.received[name] = append(b.received[name], string(encodeVersioned(u)))
}

type model struct {
	ks      *keyspace.Keyspace
	version uint64
	open    *keyspace.Burst // nil: none is open
	unique  time.Duration   // so that no two keys expire together
	values  map[string]entry
	deleted map[string]uint64 // versions of the deletes of keys that have no value
	subs    map[subscription]bool
	boxes   [3]box
	want    [3]map[string][]string
}

// matches is Matches by a regular expression.
func matches(pattern, name string) bool {
	expression := regexp.QuoteMeta(pattern)
	expression = strings.ReplaceAll(expression, `\+`, "[^/]+")
	if rest, ok := strings.CutSuffix(expression, "/#"); ok {
		expression = rest + "(/.*)?"
	} else if expression == "#" {
		expression = ".*"
	}
	return regexp.MustCompile("^" + expression + "$").MatchString(name)
}

func message(key, value string, version uint64) string {
	if value == "" {
		value = `null,"deleted":true`
	}
	return fmt.Sprintf(`{"key":%s,"value":%s,"version":%d}`, quote(key), value, version)
}

// write makes an accepted write in the model. An empty value is a delete.
func (m *model) write(key, value string, ttl time.Duration) uint64 {
	m.version++
	if value == "" {
		delete(m.values, key)
		m.deleted[key] = m.version
	} else {
		h := entry{value: value, version: m.version, written: time.Now()}
		if ttl > 0 {
			h.expires = time.Now().Add(ttl)
		}
		m.values[key] = h
		delete(m.deleted, key)
	}
	for i := range m.boxes {
		matched := false
		for s := range m.subs {
			matched = matched || s.box == i && (s.kind == "key" && s.name == key || s.kind == "pattern" && matches(s.name, key))
		}
		if matched {
			m.want[i][key] = append(m.want[i][key], message(key, value, m.version))
		}
	}
	return m.version
}

// check runs after each command: every subscriber has received every update, in order,
// and no unused name is in the directory.
func (m *model) check(t *rapid.T) {
	synctest.Wait()
	for i := range m.boxes {
		if got, want := m.boxes[i].received, m.want[i]; !maps.EqualFunc(got, want, slices.Equal) {
			t.Fatalf("subscriber %d received\n%q, want\n%q", i, got, want)
		}
	}
	names, topics := map[string]bool{}, map[string]bool{}
	for name := range m.values {
		names[name] = true
	}
	for s := range m.subs {
		switch s.kind {
		case "key":
			names[s.name] = true
		case "topic":
			topics[s.name] = true
		}
	}
	if n, nt := m.ks.Names(); n != len(names) || nt != len(topics) {
		t.Fatalf("%d keys and %d topics in the directory, want %d and %d", n, nt, len(names), len(topics))
	}
	if r := m.ks.Revision(); r != m.version {
		t.Fatalf("revision %d, want %d", r, m.version)
	}
}
