package storetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"rtdb/keyspace"
)

// An event is one thing that a watcher received: an update, or a mark.
type event struct {
	key      string // "": a mark
	value    string
	deleted  bool
	version  uint64
	revision uint64 // that the watcher was promised
}

// A watcher is a subscriber of all keys from the beginning on. It keeps everything, and knows
// the writes that it has to receive.
type watcher struct {
	c  *cluster
	ks *keyspace.Keyspace

	mu      sync.Mutex
	events  []event
	missing map[uint64]bool // versions that were answered and have not come
	came    map[uint64]bool
}

// watch subscribes a watcher to all keys.
func (c *cluster) watch(ks *keyspace.Keyspace) *watcher {
	c.Helper()
	w := &watcher{c: c, ks: ks, missing: map[uint64]bool{}, came: map[uint64]bool{}}
	if err := ks.Subscribe(context.Background(), keyspace.Pattern("#"), w, keyspace.Start{Mark: w.mark}); err != nil {
		c.Fatalf("Subscribe: %v", err)
	}
	return w
}

// Deliver implements [keyspace.Subscriber].
func (w *watcher) Deliver(u *keyspace.Update) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, event{u.Target.Name, string(u.Value), u.Value == nil, u.Version, u.Revision()})
	w.came[u.Version] = true
	delete(w.missing, u.Version)
}

func (w *watcher) mark(m keyspace.Mark) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, event{revision: m.Revision})
}

// firstMark returns the revision of the first mark.
func (w *watcher) firstMark() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.events, func(e event) bool { return e.key == "" })
	return w.events[i].revision
}

// askMark makes the watcher get a mark.
func (w *watcher) askMark() {
	target, ctx := keyspace.Key("mark"), context.Background()
	if err := w.ks.Subscribe(ctx, target, w, keyspace.Start{Mark: w.mark}); err != nil {
		w.c.Errorf("Subscribe: %v", err)
	}
	if err := w.ks.Unsubscribe(ctx, target, w); err != nil {
		w.c.Errorf("Unsubscribe: %v", err)
	}
}

// want says that a write was answered, so that the watcher has to receive it.
func (w *watcher) want(version uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.came[version] {
		w.missing[version] = true
	}
}

// awaitWanted waits until the watcher has received everything.
func (w *watcher) awaitWanted() {
	w.c.Helper()
	w.c.await("a subscriber receives each write", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.missing) == 0
	})
}

// byKey returns the updates of each key, in order.
func (w *watcher) byKey() map[string][]event {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string][]event{}
	for _, e := range w.events {
		if e.key != "" {
			e.revision = 0 // other keyspaces may promise other revisions
			all[e.key] = append(all[e.key], e)
		}
	}
	return all
}

// compareOrder requires that the versions of each key rise, and that other watchers have
// received the same updates in the same order.
func (w *watcher) compareOrder(others ...*watcher) {
	w.c.Helper()
	all := w.byKey()
	for key, updates := range all {
		for i, u := range updates[1:] {
			if u.version <= updates[i].version {
				w.c.Errorf("the version of %s goes from %d to %d", key, updates[i].version, u.version)
			}
		}
		for _, other := range others {
			if theirs := other.byKey()[key]; !slices.Equal(updates, theirs) {
				w.c.Errorf("subscribers on two keyspaces got different updates of %s: %s", key, firstDifference(updates, theirs))
			}
		}
	}
}

func firstDifference(a, b []event) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("update %d is %+v and %+v", i, a[i], b[i])
		}
	}
	return fmt.Sprintf("%d and %d updates", len(a), len(b))
}

// compareRevisions requires that the watcher had received everything up to each revision
// when it was promised the revision.
func (w *watcher) compareRevisions(written []uint64) {
	w.c.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	place := map[uint64]int{} // of each version among the events
	for i, e := range w.events {
		if e.key != "" {
			place[e.version] = i
		}
	}
	slices.Sort(written)
	latest := make([]int, len(written)+1) // the place at which all writes before an index had come
	latest[0] = -1
	for i, version := range written {
		p, ok := place[version]
		if !ok {
			p = len(w.events)
		}
		latest[i+1] = max(latest[i], p)
	}
	for i, e := range w.events {
		n, _ := slices.BinarySearchFunc(written, e.revision, func(v, revision uint64) int { return cmp.Or(cmp.Compare(v, revision), -1) })
		if latest[n] > i {
			w.c.Errorf("event %d, %+v, promises revision %d, but a write at or below it came as event %d", i, e, e.revision, latest[n])
			return
		}
	}
}
