package keyspace

import (
	"strings"
	"sync"

	"github.com/google/btree"
)

// An index holds the keys that have a value, sorted by name. Only a write that
// makes or deletes a key changes it. A walk holds the index's lock for walkStep
// keys at a time, so that such a write does not wait for long (BenchmarkWalk).
type index struct {
	mu   sync.RWMutex
	tree *btree.BTreeG[*key]
}

const (
	treeDegree = 32
	walkStep   = 256
)

func (x *index) init() {
	x.tree = btree.NewG(treeDegree, func(a, b *key) bool { return a.name < b.name })
}

func (x *index) insert(k *key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.tree.ReplaceOrInsert(k)
}

// remove removes k, unless another key struct has its name by now.
func (x *index) remove(k *key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if found, ok := x.tree.Get(k); ok && found == k {
		x.tree.Delete(k)
	}
}

// replace puts the successor in the place of k, if the index holds k.
func (x *index) replace(k, successor *key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if found, ok := x.tree.Get(k); ok && found == k {
		x.tree.ReplaceOrInsert(successor)
	}
}

// walk yields, in order, the keys whose names begin with prefix and come after the
// name after. It yields a key once if the key has a value during the whole walk.
// Other keys may be made and deleted meanwhile. The lock is not held during yield.
func (x *index) walk(after, prefix string, yield func(*key) bool) {
	step := make([]*key, 0, walkStep)
	for {
		step = x.appendStep(step[:0], after, prefix)
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

// appendStep appends up to walkStep keys to step, which is empty.
func (x *index) appendStep(step []*key, after, prefix string) []*key {
	from := &key{name: max(after, prefix)}
	x.mu.RLock()
	defer x.mu.RUnlock()
	x.tree.AscendGreaterOrEqual(from, func(k *key) bool {
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
