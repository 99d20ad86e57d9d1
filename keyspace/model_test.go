package keyspace_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"rtdb/keyspace"
)

// Random commands, against a plain map and a list of what each subscriber must
// have been told.
func TestAgainstAPlainMap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Only rapid.TB: rapid asks a *testing.T for its deadline, which
		// cannot be had in a bubble.
		rapid.Check(struct{ rapid.TB }{t}, func(t *rapid.T) {
			ks, err := keyspace.Open(keyspace.Options{Store: keyspace.NewMemory(1)})
			if err != nil {
				t.Fatal(err)
			}
			m := &model{
				ks: ks, values: map[string]keyspace.Entry{},
				subs: map[subscription]bool{}, want: make([][]string, 3), boxes: make([]inbox, 3),
			}
			t.Repeat(map[string]func(*rapid.T){
				"set": m.set, "delete": m.delete, "get": m.get, "publish": m.publish,
				"subscribe": m.subscribe, "unsubscribe": m.unsubscribe, "": m.check,
			})
			if err := ks.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
		})
	})
}

type subscription struct {
	box   int
	topic bool
	name  string
}

type model struct {
	ks      *keyspace.Keyspace
	version uint64
	values  map[string]keyspace.Entry
	subs    map[subscription]bool
	want    [][]string // by subscriber
	boxes   []inbox
}

func drawName(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "a/b", `q"\`}).Draw(t, "name")
}

func drawValue(t *rapid.T) string {
	return rapid.SampledFrom([]string{"1", "null", `{"x":[1.50]}`, `"s"`}).Draw(t, "value")
}

func (m *model) tell(topic bool, name, message string) {
	for s := range m.subs {
		if s.topic == topic && s.name == name {
			m.want[s.box] = append(m.want[s.box], message)
		}
	}
}

func (m *model) set(t *rapid.T) {
	name, value := drawName(t), drawValue(t)
	v, err := m.ks.Set(context.Background(), name, []byte(value))
	m.version++
	if err != nil || v != m.version {
		t.Fatalf("Set: version %d, %v; want %d", v, err, m.version)
	}
	m.values[name] = keyspace.Entry{Key: name, Value: []byte(value), Version: v}
	m.tell(false, name, fmt.Sprintf(`{"key":%s,"value":%s}`, keyspace.AppendString(nil, name), value))
}

func (m *model) delete(t *rapid.T) {
	name := drawName(t)
	v, err := m.ks.Delete(context.Background(), name)
	if _, ok := m.values[name]; !ok {
		if !errors.Is(err, keyspace.ErrNotFound) {
			t.Fatalf("Delete of nothing: %v", err)
		}
		return
	}
	m.version++
	if err != nil || v != m.version {
		t.Fatalf("Delete: version %d, %v; want %d", v, err, m.version)
	}
	delete(m.values, name)
	m.tell(false, name, fmt.Sprintf(`{"key":%s,"value":null,"deleted":true}`, keyspace.AppendString(nil, name)))
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
	if err != nil || e.Key != name || e.Version != want.Version || string(e.Value) != string(want.Value) {
		t.Fatalf("Get: %+v, %v; want %+v", e, err, want)
	}
}

func (m *model) publish(t *rapid.T) {
	name, value := drawName(t), drawValue(t)
	if err := m.ks.Publish(context.Background(), name, []byte(value)); err != nil {
		t.Fatal(err)
	}
	m.tell(true, name, fmt.Sprintf(`{"topic":%s,"value":%s}`, keyspace.AppendString(nil, name), value))
}

func (m *model) draw(t *rapid.T) subscription {
	return subscription{
		box:   rapid.IntRange(0, len(m.boxes)-1).Draw(t, "subscriber"),
		topic: rapid.Bool().Draw(t, "topic"),
		name:  drawName(t),
	}
}

func (m *model) subscribe(t *rapid.T) {
	s := m.draw(t)
	var err error
	if s.topic {
		err = m.ks.SubscribeTopic(context.Background(), s.name, &m.boxes[s.box], keyspace.Start{})
	} else {
		var rev uint64
		rev, err = subscribe(m.ks, context.Background(), s.name, &m.boxes[s.box])
		if rev < m.values[s.name].Version || rev > m.version {
			t.Fatalf("revision %d, want at least %d and at most %d", rev, m.values[s.name].Version, m.version)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	m.subs[s] = true
}

func (m *model) unsubscribe(t *rapid.T) {
	s := m.draw(t)
	var err error
	if s.topic {
		err = m.ks.UnsubscribeTopic(context.Background(), s.name, &m.boxes[s.box])
	} else {
		err = m.ks.Unsubscribe(context.Background(), s.name, &m.boxes[s.box])
	}
	if err != nil {
		t.Fatal(err)
	}
	delete(m.subs, s)
}

// check runs after each command: everybody was told all, in order, and no
// name is kept that nobody holds.
func (m *model) check(t *rapid.T) {
	synctest.Wait()
	for i := range m.boxes {
		if got := m.boxes[i].messages(); !slices.Equal(got, m.want[i]) {
			t.Fatalf("subscriber %d was told %q, want %q", i, got, m.want[i])
		}
	}
	held, heldTopics := map[string]bool{}, map[string]bool{}
	for name := range m.values {
		held[name] = true
	}
	for s := range maps.Keys(m.subs) {
		if s.topic {
			heldTopics[s.name] = true
		} else {
			held[s.name] = true
		}
	}
	if keys, topics := m.ks.Names(); keys != len(held) || topics != len(heldTopics) {
		t.Fatalf("%d keys and %d topics are kept, want %d and %d", keys, topics, len(held), len(heldTopics))
	}
}
