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
	if c.Touch || !c.Delete && rapid.IntRange(0, 2).Draw(t, "ttl") == 0 {
		m.unique += 10 * time.Millisecond
		c.TTL = time.Duration(rapid.IntRange(1, 5).Draw(t, "seconds"))*time.Second + m.unique
	}
	return func() error {
		now := m.values[key]
		touched := now
		touched.expires = time.Now().Add(c.TTL)
		switch {
		case !allowed:
			return &keyspace.VersionError{Current: now.version}
		case (c.Delete || c.Touch) && now.value == "":
			return keyspace.ErrNotFound
		case c.Touch:
			m.values[key] = touched
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
	if m.open != nil && rapid.Bool().Draw(t, "in the burst") {
		m.open.Begin()
		c.Burst = m.open
	}
	e, err := m.ks.Write(context.Background(), key, c)
	want := apply()
	if fmt.Sprint(err) != fmt.Sprint(want) {
		t.Fatalf("Write: %v, want %v", err, want)
	}
	if want == nil && !c.Delete && (!m.values[key].agrees(e) || e.Key != key) {
		t.Fatalf("Write: %+v, want %+v", e, m.values[key])
	}
	if want == nil && c.Delete && (e.Version != m.version || e.Value != nil || e.Key != key) {
		t.Fatalf("Write: %+v, want the delete with version %d", e, m.version)
	}
}

func (m *model) set(t *rapid.T) {
	m.one(t, drawName(t), keyspace.Change{Value: []byte(drawValue(t))})
}

func (m *model) delete(t *rapid.T) { m.one(t, drawName(t), keyspace.Change{Delete: true}) }

func (m *model) touch(t *rapid.T) { m.one(t, drawName(t), keyspace.Change{Touch: true}) }

var errUnmergeable = errors.New("null cannot be merged with")

func (m *model) patch(t *rapid.T) {
	m.one(t, drawName(t), keyspace.Change{Merge: func(old []byte) ([]byte, error) {
		if string(old) == "null" {
			return nil, errUnmergeable
		}
		return fmt.Appendf(nil, "[%d]", len(old)), nil
	}})
}

// burst makes writes of a burst, and other commands between them.
func (m *model) burst(t *rapid.T) {
	m.open = new(keyspace.Burst)
	commands := []func(*rapid.T){
		m.set, m.set, m.set, m.set, m.patch, m.delete, m.touch, m.batch, m.get, m.publish, m.subscribe, m.unsubscribe, m.wait,
	}
	for range rapid.IntRange(2, 8).Draw(t, "commands") {
		rapid.SampledFrom(commands).Draw(t, "command")(t)
	}
	m.open.End()
	m.open = nil
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
	if err != nil || e.Key != name || !want.agrees(e) {
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
	q.Reverse, q.Levels = rapid.Bool().Draw(t, "reverse"), rapid.Bool().Draw(t, "levels")
	var want, got []string
	for _, name := range slices.Sorted(maps.Keys(m.values)) {
		if !strings.HasPrefix(name, q.Prefix) || q.Pattern != "" && !matches(q.Pattern, name) {
			continue
		}
		if level, _, ok := strings.Cut(name[len(q.Prefix):], "/"); ok && q.Levels {
			want = append(want, q.Prefix+level+"/")
		} else {
			want = append(want, message(name, m.values[name].value, m.values[name].version))
		}
	}
	levels := map[string]int{}
	for _, line := range want {
		levels[line]++
	}
	want = slices.Compact(want)
	if q.Reverse {
		slices.Reverse(want)
	}
	for more := true; more; more = q.After != "" {
		page, err := m.ks.List(context.Background(), q)
		n := len(page.Entries) + len(page.Levels)
		if err != nil || n > q.Limit || page.Next != "" && n < q.Limit {
			t.Fatalf("List %+v: %+v, %v", q, page, err)
		}
		q.After = page.Next
		got = append(got, lines(t, &page, levels, q.Reverse)...)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("List %+v: %q, want %q", q, got, want)
	}
}

// lines returns what is on a page, in the order of the listing.
func lines(t *rapid.T, page *keyspace.Page, levels map[string]int, reverse bool) []string {
	text := map[string]string{}
	for _, e := range page.Entries {
		text[e.Key] = message(e.Key, string(e.Value), e.Version)
	}
	for _, l := range page.Levels {
		text[l.Prefix] = l.Prefix
		if l.Keys != levels[l.Prefix] || l.More {
			t.Fatalf("%+v, want %d keys", l, levels[l.Prefix])
		}
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(text)) {
		all = append(all, text[name])
	}
	if reverse {
		slices.Reverse(all)
	}
	return all
}

func (m *model) publish(t *rapid.T) {
	name, value := drawName(t), drawValue(t)
	if err := m.ks.Publish(context.Background(), name, []byte(value)); err != nil {
		t.Fatal(err)
	}
	for i := range m.boxes {
		matched := false
		for s := range m.subs {
			matched = matched || s.box == i && (s.kind == "topic" && s.name == name || s.kind == "topic pattern" && matches(s.name, name))
		}
		if matched {
			topic := "topic " + name
			m.want[i][topic] = append(m.want[i][topic], fmt.Sprintf(`{"topic":%s,"value":%s}`, quote(name), value))
		}
	}
}

// topics compares the list of topics that have subscribers.
func (m *model) topics(t *rapid.T) {
	q := keyspace.Query{Limit: rapid.IntRange(1, 3).Draw(t, "limit"), Reverse: rapid.Bool().Draw(t, "reverse")}
	counts, got := map[string]int{}, map[string]int{}
	for s := range m.subs {
		if s.kind == "topic" {
			counts[s.name]++
		}
	}
	var order []string
	for more := true; more; more = q.After != "" {
		page, next, err := m.ks.Topics(q)
		if err != nil || len(page) > q.Limit {
			t.Fatalf("Topics %+v: %+v, %v", q, page, err)
		}
		for _, x := range page {
			got[x.Topic] = x.Subscribers
			order = append(order, x.Topic)
		}
		q.After = next
	}
	if q.Reverse {
		slices.Reverse(order)
	}
	if !maps.Equal(got, counts) || !slices.IsSorted(order) {
		t.Fatalf("Topics: %v in the order %q, want %v", got, order, counts)
	}
}

func (m *model) draw(t *rapid.T) subscription {
	s := subscription{
		box:  rapid.IntRange(0, len(m.boxes)-1).Draw(t, "subscriber"),
		kind: rapid.SampledFrom([]string{"key", "topic", "pattern", "pattern", "topic pattern"}).Draw(t, "kind"),
	}
	if strings.HasSuffix(s.kind, "pattern") {
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
		start.Last = rapid.IntRange(0, 3).Draw(t, "last")
	case 1:
		start.Resume = true
		start.Since = rapid.Uint64Range(0, m.version+1).Draw(t, "since")
		start.Epoch = rapid.SampledFrom([]string{"", m.ks.Epoch(), "another"}).Draw(t, "epoch")
		reset = (start.Since > m.version || start.Epoch == "another") && (s.kind == "key" || s.kind == "pattern")
		if since = start.Since; reset {
			since = 0
		}
	}
	of := func(key string) bool {
		return (start.Snapshot || start.Resume) && (s.kind == "key" && s.name == key || s.kind == "pattern" && matches(s.name, key))
	}
	var current []string
	for _, key := range slices.Sorted(maps.Keys(m.values)) {
		if of(key) {
			current = append(current, key)
		}
	}
	if start.Last > 0 && s.kind == "pattern" {
		current = current[max(0, len(current)-start.Last):]
	}
	for _, key := range current {
		if h := m.values[key]; h.version > since {
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
	mark := keyspace.Mark{Epoch: m.ks.Epoch(), Revision: m.version, Reset: reset}
	if m.open != nil && len(marks) == 1 && marks[0].Revision < m.version {
		mark.Revision = marks[0].Revision // an update waits
	}
	if !slices.Equal(marks, []keyspace.Mark{mark}) {
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
