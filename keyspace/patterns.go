package keyspace

import (
	"strings"
	"sync"
	"sync/atomic"
)

// patterns is who gets the updates of all keys that match a pattern: a trie of
// the patterns' levels.
//
// A key's actor keeps the sets of subscribers that match it, in a view, and
// looks again only when shape moved, which it does when a pattern comes that
// nobody had subscribed to, or goes. To tell the subscribers it holds mu for
// reading: so nothing is told of a pattern after remove has returned, and for
// each subscription and each update it is certain which was first.
type patterns struct {
	shape atomic.Uint64 // changed under mu; 0 is that of an empty, new trie

	mu    sync.RWMutex
	root  patternNode
	clock uint64 // rises with each subscription
	none  *view  // of all keys that nothing matches, at this shape
}

// A patternNode is the trie below the levels that lead to it.
type patternNode struct {
	levels map[string]*patternNode // the next level; "+" among them
	here   *subscribers            // of the pattern that ends here
	below  *subscribers            // of the pattern that goes on with "#" only
}

// A view is what a key's actor knows of the patterns.
type view struct {
	shape     uint64         // of the trie when the actor looked
	delivered uint64         // the clock at the last update, if sets is not empty
	sets      []*subscribers // of the patterns that match the key
}

// at returns the shape that the view was taken at.
func (v *view) at() uint64 {
	if v == nil {
		return 0
	}
	return v.shape
}

// matches returns the sets of subscribers that match.
func (v *view) matches() []*subscribers {
	if v == nil {
		return nil
	}
	return v.sets
}

// add subscribes s to a valid pattern, and returns the clock: updates that are
// told at that or a later one are told to s. mark is called before any is.
func (p *patterns) add(pattern string, s Subscriber, mark func()) (clock uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := &p.root
	set := &n.below
	for level := range strings.SplitSeq(pattern, "/") {
		if level == "#" {
			set = &n.below
			break
		}
		next := n.levels[level]
		if next == nil {
			next = new(patternNode)
			if n.levels == nil {
				n.levels = make(map[string]*patternNode, 1)
			}
			n.levels[strings.Clone(level)] = next
		}
		n = next
		set = &n.here
	}
	if *set == nil {
		*set = new(subscribers)
		p.reshapeLocked()
	}
	(*set).add(s)
	p.clock++
	if mark != nil {
		mark()
	}
	return p.clock
}

// remove is the reverse of add. Nothing is told to s by this pattern any more
// once it has returned.
func (p *patterns) remove(pattern string, s Subscriber) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.removeLocked(&p.root, pattern, s) {
		p.reshapeLocked()
	}
}

// removeLocked reports whether a set became empty, and was taken out. It takes
// out the nodes that lead to nothing, too.
func (p *patterns) removeLocked(n *patternNode, pattern string, s Subscriber) bool {
	level, rest, more := strings.Cut(pattern, "/")
	if level == "#" {
		return dropFrom(&n.below, s)
	}
	next := n.levels[level]
	if next == nil {
		return false
	}
	var dropped bool
	if more {
		dropped = p.removeLocked(next, rest, s)
	} else {
		dropped = dropFrom(&next.here, s)
	}
	if dropped && len(next.levels) == 0 && next.here == nil && next.below == nil {
		delete(n.levels, level)
	}
	return dropped
}

func dropFrom(set **subscribers, s Subscriber) (emptied bool) {
	if *set == nil {
		return false
	}
	(*set).remove(s)
	if (*set).any() {
		return false
	}
	*set = nil
	return true
}

func (p *patterns) reshapeLocked() {
	shape := p.shape.Load() + 1
	p.none = &view{shape: shape}
	p.shape.Store(shape)
}

// lookLocked returns the view of a key at the trie's shape.
func (p *patterns) lookLocked(name string) *view {
	sets := p.root.match(nil, name, true)
	if len(sets) == 0 {
		return p.none
	}
	return &view{shape: p.shape.Load(), sets: sets}
}

// match appends the sets whose pattern matches what is left of a name.
func (n *patternNode) match(sets []*subscribers, rest string, more bool) []*subscribers {
	if n.below != nil {
		sets = append(sets, n.below)
	}
	if !more {
		if n.here != nil {
			sets = append(sets, n.here)
		}
		return sets
	}
	if n.levels == nil {
		return sets
	}
	level, rest, more := strings.Cut(rest, "/")
	if next := n.levels[level]; next != nil {
		sets = next.match(sets, rest, more)
	}
	if next := n.levels["+"]; next != nil {
		sets = next.match(sets, rest, more)
	}
	return sets
}
