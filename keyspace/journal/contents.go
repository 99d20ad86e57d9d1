package journal

import (
	"maps"
	"slices"
	"strings"

	"rtdb/keyspace"
)

// contents hold the keys of a store while no keyspace uses it. They are a [keyspace.State].
type contents struct {
	keys      map[string]keyspace.Record // the last write of each key, deletes included
	forgotten uint64
}

// Apply keeps a write, unless the key has a newer one.
func (c *contents) Apply(w *keyspace.Record) error {
	if err := keyspace.CheckName(w.Key); err != nil {
		return err
	}
	if c.keys == nil {
		c.keys = map[string]keyspace.Record{}
	}
	now := c.keys[w.Key]
	switch {
	case w.Touch && now.Version == w.Version:
		now.Expires = w.Expires
		c.keys[now.Key] = now
	case !w.Touch && w.Version > now.Version:
		next := *w
		next.Key = strings.Clone(w.Key)
		c.keys[next.Key] = next
	}
	return nil
}

// Snapshot yields the keys and deletes in the order of their names.
func (c *contents) Snapshot(yield func(*keyspace.Record) bool) (forgotten uint64) {
	for _, name := range slices.Sorted(maps.Keys(c.keys)) {
		w := c.keys[name]
		if !yield(&w) {
			break
		}
	}
	return c.forgotten
}

// count returns the number of keys that have a value, and of deletes.
func (c *contents) count() (keys, deletes int) {
	for _, w := range c.keys {
		if w.Value == nil {
			deletes++
		}
	}
	return len(c.keys) - deletes, deletes
}
