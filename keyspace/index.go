package keyspace

import (
	"strings"
	"sync"

	"github.com/google/btree"
)

// An index has the keys that have a value, sorted by name. Only a write that
// makes or deletes a key touches it. Those who walk it hold its lock for
// walkStep keys at a time, so that no such write waits for long
// (BenchmarkWalk).
type index struct {
	mu   sync.RWMutex
	keys *btree.BTreeG[*key]
}

const (
	indexDegree = 32
	walkStep    = 256
)

func (x *index) init() {
	x.keys = btree.NewG(indexDegree, func(a, b *key) bool { return a.name < b.name })
}

func (x *index) insert(k *key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.keys.ReplaceOrInsert(k)
}

// remove takes k out, but not another key that has its name by now.
func (x *index) remove(k *key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if there, ok := x.keys.Get(k); ok && there == k {
		x.keys.Delete(k)
	}
}

// replace puts heir in the place of k, if k is there.
func (x *index) replace(k, heir *key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if there, ok := x.keys.Get(k); ok && there == k {
		x.keys.ReplaceOrInsert(heir)
	}
}

// walk yields the keys whose name begins with prefix and comes after the name
// after, sorted. A key that is there from beginning to end is yielded once,
// whatever is made and deleted meanwhile. The lock is not held during yield.
func (x *index) walk(after, prefix string, yield func(*key) bool) {
	step := make([]*key, 0, walkStep)
	for {
		step = x.step(step[:0], after, prefix)
		for _, k := range step {
			if !yield(k) {
				return
			}
		}
		if len(step) < walkStep {
			return
		}
		after = step[len(step)-1].name
	}
}

func (x *index) step(step []*key, after, prefix string) []*key {
	from := &key{name: max(after, prefix)}
	x.mu.RLock()
	defer x.mu.RUnlock()
	x.keys.AscendGreaterOrEqual(from, func(k *key) bool {
		if !strings.HasPrefix(k.name, prefix) {
			return false
		}
		if k.name != after {
			step = append(step, k)
		}
		return len(step) < walkStep
	})
	return step
}
