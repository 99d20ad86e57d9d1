package keyspace_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"rtdb/keyspace"
)

func drawName(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "a/b", "a/c/d", `q"\`}).Draw(t, "name")
}

func drawValue(t *rapid.T) string {
	return rapid.SampledFrom([]string{"1", "null", `{"x":[1.50]}`, `"s"`}).Draw(t, "value")
}

func drawPattern(t *rapid.T) string {
	return rapid.SampledFrom([]string{"#", "+", "a/#", "a/+", "+/b", "a/b", "a/+/d", "+/+/#"}).Draw(t, "pattern")
}

// change draws the condition and the time to live of a change. apply makes the change
// in the model, and returns the expected error.
func (m *model) change(t *rapid.T, key string, c *keyspace.Change) (apply func() error) {
	now := m.values[key]
	allowed := true
	switch rapid.IntRange(0, 3).Draw(t, "condition") {
	case 0:
		want := rapid.SampledFrom([]uint64{0, now.version, m.version}).Draw(t, "ifVersion")
		c.If = func(version uint64) bool { return version == want }
		allowed = want == now.version
	}
	if !c.Delete && rapid.IntRange(0, 2).Draw(t, "ttl") == 0 {
		m.unique += 10 * time.Millisecond
		c.TTL = time.Duration(rapid.IntRange(1, 5).Draw(t, "seconds"))*time.Second + m.unique
	}
	return func() error {
		now := m.values[key]
		switch {
		case !allowed:
			return &keyspace.VersionError{Current: now.version}
		case c.Delete && now.value == "":
			return keyspace.ErrNotFound
		case c.Delete:
			m.write(key, "", 0)
		case c.Merge != nil:
			value, err := c.Merge(bytesOrNil(now.value))
			if err != nil {
				return err
			}
			ttl := c.TTL
			if ttl == 0 && !now.expires.IsZero() {
				ttl = time.Until(now.expires)
			}
			m.write(key, string(value), ttl)
		default:
			m.write(key, string(c.Value), c.TTL)
		}
		return nil
	}
}

func bytesOrNil(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

// one makes a change and compares the result.
func (m *model) one(t *rapid.T, key string, c keyspace.Change) {
	apply := m.change(t, key, &c)
	e, err := m.ks.Write(context.Background(), key, c)
	want := apply()
	if fmt.Sprint(err) != fmt.Sprint(want) {
		t.Fatalf("Write: %v, want %v", err, want)
	}
	if want == nil && (e.Version != m.version || string(e.Value) != m.values[key].value || e.Key != key) {
		t.Fatalf("Write: %+v, want version %d and %s", e, m.version, m.values[key].value)
	}
}

func (m *model) set(t *rapid.T) {
	m.one(t, drawName(t), keyspace.Change{Value: []byte(drawValue(t))})
}

func (m *model) delete(t *rapid.T) { m.one(t, drawName(t), keyspace.Change{Delete: true}) }

var errUnmergeable = errors.New("null cannot be merged with")

func (m *model) patch(t *rapid.T) {
	m.one(t, drawName(t), keyspace.Change{Merge: func(old []byte) ([]byte, error) {
		if string(old) == "null" {
			return nil, errUnmergeable
		}
		return fmt.Appendf(nil, "[%d]", len(old)), nil
	}})
}

// batch writes several keys at once. Only the order of one key's writes is
// known, so the keys are different.
func (m *model) batch(t *rapid.T) {
	keys := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "a/b", "x/y"}), 1, 3, rapid.ID).Draw(t, "keys")
	var changes []keyspace.KeyedChange
	for _, key := range keys {
		changes = append(changes, keyspace.KeyedChange{Key: key, Change: keyspace.Change{Value: []byte(`"b"`)}})
	}
	changes = append(changes, keyspace.KeyedChange{Key: "#", Change: keyspace.Change{Value: []byte("1")}})
	results := m.ks.WriteAll(context.Background(), changes)
	if n := len(keys); len(results) != n+1 || !errors.Is(results[n].Err, keyspace.ErrInvalidName) {
		t.Fatalf("WriteAll: %+v", results)
	}
	order := make([]int, len(keys))
	for i := range keys {
		if results[i].Err != nil {
			t.Fatalf("WriteAll: %+v", results)
		}
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return int(results[i].Entry.Version) - int(results[j].Entry.Version) })
	for _, i := range order {
		if v := m.write(keys[i], `"b"`, 0); v != results[i].Entry.Version {
			t.Fatalf("WriteAll: %+v, want version %d", results[i], v)
		}
	}
}

func (m *model) get(t *rapid.T) {
	name := drawName(t)
	e, err := m.ks.Get(name)
	want, ok := m.values[name]
	if !ok {
		if !errors.Is(err, keyspace.ErrNotFound) {
			t.Fatalf("Get of nothing: %+v, %v", e, err)
		}
		return
	}
	if err != nil || e.Key != name || e.Version != want.version || string(e.Value) != want.value {
		t.Fatalf("Get: %+v, %v; want %+v", e, err, want)
	}
}

// list goes through all pages.
func (m *model) list(t *rapid.T) {
	q := keyspace.Query{
		Prefix: rapid.SampledFrom([]string{"", "a", "a/", "a/b", "q", "z"}).Draw(t, "prefix"),
		Limit:  rapid.IntRange(1, 4).Draw(t, "limit"),
	}
	if rapid.Bool().Draw(t, "by pattern") {
		q.Pattern = drawPattern(t)
	}
	var want, got []string
	for _, name := range slices.Sorted(maps.Keys(m.values)) {
		if strings.HasPrefix(name, q.Prefix) && (q.Pattern == "" || matches(q.Pattern, name)) {
			want = append(want, message(name, m.values[name].value, m.values[name].version))
		}
	}
	for more := true; more; {
		var entries []keyspace.Entry
		var err error
		entries, more, err = m.ks.List(context.Background(), q)
		if err != nil || len(entries) > q.Limit || more && len(entries) < q.Limit {
			t.Fatalf("List %+v: %d entries, more %v, %v", q, len(entries), more, err)
		}
		for _, e := range entries {
			got = append(got, message(e.Key, string(e.Value), e.Version))
			q.After = e.Key
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("List %+v: %q, want %q", q, got, want)
	}
}

func (m *model) publish(t *rapid.T) {
	name, value := drawName(t), drawValue(t)
	if err := m.ks.Publish(context.Background(), name, []byte(value)); err != nil {
		t.Fatal(err)
	}
	for s := range m.subs {
		if s.kind == "topic" && s.name == name {
			topic := "topic " + name
			m.want[s.box][topic] = append(m.want[s.box][topic],
				fmt.Sprintf(`{"topic":%s,"value":%s}`, quote(name), value))
		}
	}
}

func (m *model) draw(t *rapid.T) subscription {
	s := subscription{
		box:  rapid.IntRange(0, len(m.boxes)-1).Draw(t, "subscriber"),
		kind: rapid.SampledFrom([]string{"key", "topic", "pattern", "pattern"}).Draw(t, "kind"),
	}
	if s.kind == "pattern" {
		s.name = drawPattern(t)
	} else {
		s.name = drawName(t)
	}
	return s
}

func (m *model) subscribe(t *rapid.T) {
	s := m.draw(t)
	b, want := &m.boxes[s.box], m.want[s.box]
	var marks []keyspace.Mark
	start := keyspace.Start{Each: b.Deliver, Mark: func(mark keyspace.Mark) { marks = append(marks, mark) }}
	reset := false
	since := uint64(0)
	switch rapid.IntRange(0, 3).Draw(t, "start") {
	case 0:
		start.Snapshot = true
	case 1:
		start.Resume = true
		start.Since = rapid.Uint64Range(0, m.version+1).Draw(t, "since")
		reset = start.Since > m.version && s.kind != "topic"
		if since = start.Since; reset {
			since = 0
		}
	}
	of := func(key string) bool {
		return (start.Snapshot || start.Resume) && (s.kind == "key" && s.name == key || s.kind == "pattern" && matches(s.name, key))
	}
	for key, h := range m.values {
		if of(key) && h.version > since {
			want[key] = append(want[key], message(key, h.value, h.version))
		}
	}
	for key, version := range m.deleted {
		if of(key) && start.Resume && !reset && version > since {
			want[key] = append(want[key], message(key, "", version))
		}
	}
	if err := m.ks.Subscribe(context.Background(), s.target(), b, start); err != nil {
		t.Fatal(err)
	}
	if mark := (keyspace.Mark{Revision: m.version, Reset: reset}); !slices.Equal(marks, []keyspace.Mark{mark}) {
		t.Fatalf("marks %+v, want %+v", marks, mark)
	}
	m.subs[s] = true
}

func (m *model) unsubscribe(t *rapid.T) {
	s := m.draw(t)
	if err := m.ks.Unsubscribe(context.Background(), s.target(), &m.boxes[s.box]); err != nil {
		t.Fatal(err)
	}
	delete(m.subs, s)
}

// wait lets time pass, so that keys expire.
func (m *model) wait(t *rapid.T) {
	time.Sleep(time.Duration(rapid.IntRange(1, 3000).Draw(t, "milliseconds")) * time.Millisecond)
	due := slices.SortedFunc(maps.Keys(m.values), func(a, b string) int {
		return m.values[a].expires.Compare(m.values[b].expires)
	})
	for _, key := range due {
		if at := m.values[key].expires; !at.IsZero() && !at.After(time.Now()) {
			m.write(key, "", 0)
		}
	}
}
