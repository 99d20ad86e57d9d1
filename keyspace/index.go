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
	tree *btree.BTreeG[*record]
}

const (
	treeDegree = 32
	walkStep   = 256
)

func (x *index) init() {
	x.tree = btree.NewG(treeDegree, func(a, b *record) bool { return a.name < b.name })
}

func (x *index) insert(r *record) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.tree.ReplaceOrInsert(r)
}

func (x *index) remove(r *record) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.tree.Delete(r)
}

// A walk says which keys are visited, and in which order.
type walk struct {
	prefix  string // the names begin with it
	after   string // the names come after it in the order of the walk; "": from the beginning
	reverse bool   // the last key comes first
}

// beyond is above each byte of a name, because names are UTF-8.
const beyond = "\xff"

// pass makes the walk go on behind all names that begin with a prefix.
func (w *walk) pass(prefix string) {
	w.after = prefix
	if !w.reverse {
		w.after += beyond
	}
}

// walk yields the keys of a walk in order. It yields a key once if the key has a value
// during the whole walk. Other keys may be made and deleted meanwhile. The lock is not
// held during yield.
func (x *index) walk(w walk, yield func(*record) bool) {
	step := make([]*record, 0, walkStep)
	for {
		step = x.appendStep(step[:0], w)
		for _, r := range step {
			if !yield(r) {
				return
			}
		}
		if len(step) < walkStep {
			return
		}
		w.after = step[len(step)-1].name
	}
}

// appendStep appends up to walkStep keys to step, which is empty.
func (x *index) appendStep(step []*record, w walk) []*record {
	visit := func(r *record) bool {
		if !strings.HasPrefix(r.name, w.prefix) {
			return false
		}
		if r.name != w.after {
			step = append(step, r)
		}
		return len(step) < walkStep
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	if !w.reverse {
		x.tree.AscendGreaterOrEqual(&record{name: max(w.after, w.prefix)}, visit)
		return step
	}
	from := w.prefix + beyond
	if w.after != "" {
		from = min(from, w.after)
	}
	x.tree.DescendLessOrEqual(&record{name: from}, visit)
	return step
}
