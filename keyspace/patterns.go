package keyspace

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// patterns holds the subscribers of patterns, in a trie of the patterns' levels. The
// keyspace has one for the patterns of keys, and one for those of topics.
//
// The actor of a key or topic keeps the sets of subscribers that match its name in a
// patternMatch, and looks them up again only if the generation has changed. To
// deliver an update to the sets, the actor holds mu for reading. So after remove has
// returned, nothing is delivered because of the pattern. And for each subscription
// and each update it is certain which came first.
type patterns struct {
	// generation rises when a pattern gets its first subscriber, or loses its
	// last one. It is changed under mu. It is 0 as long as there was no pattern.
	generation atomic.Uint64

	mu      sync.RWMutex
	root    patternNode
	clock   uint64        // a logical clock, which rises with each subscription
	noMatch *patternMatch // of all names that no pattern matches, in this generation

	// crowds is the number of patterns that have more than crowdSize subscribers.
	crowds atomic.Int32

	// bursts have updates that wait for subscribers of patterns. They are delivered before the
	// subscribers change. A burst is added while mu is held for reading.
	burstsMu sync.Mutex
	bursts   map[*burst]bool

	// changed, if it is not nil, is called under mu when a pattern has got its first
	// subscriber, or has lost its last one.
	changed func(pattern string, wanted bool)
}

// A patternNode is the part of the trie that follows after some levels.
type patternNode struct {
	levels map[string]*patternNode // by the next level, which may be "+"
	here   *subscribers            // of the pattern that ends here
	below  *subscribers            // of the pattern that has only "#" after this
}

// A patternMatch holds the sets of subscribers whose patterns match a name. The
// name's actor keeps it. nil is the patternMatch of generation 0.
type patternMatch struct {
	generation  uint64         // of the patterns at the look-up
	deliveredAt uint64         // the patterns' clock at the last update, if there are sets
	sets        []*subscribers // one for each pattern that matches the name
}

// upToDate reports whether no pattern has come or gone since the look-up.
func (m *patternMatch) upToDate(p *patterns) bool {
	if m == nil {
		return p.generation.Load() == 0
	}
	return m.generation == p.generation.Load()
}

// matchingSets returns the sets.
func (m *patternMatch) matchingSets() []*subscribers {
	if m == nil {
		return nil
	}
	return m.sets
}

// add subscribes s to a valid pattern. It returns the clock of the subscription: an
// update that is delivered at that clock or later is delivered to s. mark, if it is
// not nil, is called before s receives an update.
func (p *patterns) add(pattern string, s Subscriber, mark func()) (subscribedAt uint64) {
	p.deliverBursts() // so that few are left
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deliverBursts()
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
		p.nextGenerationLocked()
		if p.changed != nil {
			p.changed(pattern, true)
		}
	}
	if (*set).add(s) && (*set).len() == crowdSize+1 {
		p.crowds.Add(1)
	}
	p.clock++
	if mark != nil {
		mark()
	}
	return p.clock
}

// remove ends the subscription of s to a pattern. After it has returned, nothing is
// delivered to s because of this pattern.
func (p *patterns) remove(pattern string, s Subscriber) {
	p.deliverBursts() // so that few are left
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deliverBursts()
	if p.removeLocked(&p.root, pattern, s) {
		p.nextGenerationLocked()
		if p.changed != nil {
			p.changed(pattern, false)
		}
	}
}

// removeLocked reports whether the pattern lost its last subscriber. It then also
// removes the nodes that lead to no pattern any more.
func (p *patterns) removeLocked(n *patternNode, pattern string, s Subscriber) bool {
	level, rest, more := strings.Cut(pattern, "/")
	if level == "#" {
		return p.removeFromLocked(&n.below, s)
	}
	next := n.levels[level]
	if next == nil {
		return false
	}
	var emptied bool
	if more {
		emptied = p.removeLocked(next, rest, s)
	} else {
		emptied = p.removeFromLocked(&next.here, s)
	}
	if emptied && len(next.levels) == 0 && next.here == nil && next.below == nil {
		delete(n.levels, level)
	}
	return emptied
}

// removeFromLocked removes s from a set, and makes the set nil if it is then empty.
func (p *patterns) removeFromLocked(set **subscribers, s Subscriber) (emptied bool) {
	if *set == nil {
		return false
	}
	if (*set).remove(s) && (*set).len() == crowdSize {
		p.crowds.Add(-1)
	}
	if !(*set).empty() {
		return false
	}
	*set = nil
	return true
}

// addBurst notes that a burst has updates for subscribers of patterns. It needs mu for reading.
func (p *patterns) addBurst(b *burst) {
	p.burstsMu.Lock()
	defer p.burstsMu.Unlock()
	if p.bursts == nil {
		p.bursts = map[*burst]bool{}
	}
	p.bursts[b] = true
}

// removeBurst notes that the updates of a burst are delivered.
func (p *patterns) removeBurst(b *burst) {
	p.burstsMu.Lock()
	defer p.burstsMu.Unlock()
	delete(p.bursts, b)
}

// deliverBursts delivers the updates that wait for subscribers of patterns. While mu is held, no
// other one begins to wait.
func (p *patterns) deliverBursts() {
	p.burstsMu.Lock()
	bursts := slices.Collect(maps.Keys(p.bursts))
	p.burstsMu.Unlock()
	for _, b := range bursts {
		b.deliver()
	}
}

func (p *patterns) nextGenerationLocked() {
	generation := p.generation.Load() + 1
	p.noMatch = &patternMatch{generation: generation}
	p.generation.Store(generation)
}

// lookUpLocked returns the patternMatch of a name in this generation. It needs mu
// for reading.
func (p *patterns) lookUpLocked(name string) *patternMatch {
	sets := p.root.appendSets(nil, name, true)
	if len(sets) == 0 {
		return p.noMatch
	}
	return &patternMatch{generation: p.generation.Load(), sets: sets}
}

// match reports whether a subscriber has subscribed to a pattern that matches the name.
func (p *patterns) match(name string) bool {
	if p.generation.Load() == 0 {
		return false
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.root.appendSets(nil, name, true)) > 0
}

// ofLocked returns the subscribers of a pattern, nil if it has none. It needs mu for reading.
func (p *patterns) ofLocked(pattern string) *subscribers {
	n := &p.root
	for level := range strings.SplitSeq(pattern, "/") {
		if level == "#" {
			return n.below
		}
		if n = n.levels[level]; n == nil {
			return nil
		}
	}
	return n.here
}

// all returns the patterns that have subscribers.
func (p *patterns) all() []string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.root.appendPatterns(nil, "")
}

// appendPatterns appends the patterns below n. before is the pattern's part that leads to n,
// with a slash at its end.
func (n *patternNode) appendPatterns(all []string, before string) []string {
	if n.below != nil {
		all = append(all, before+"#")
	}
	for level, next := range n.levels {
		if next.here != nil {
			all = append(all, before+level)
		}
		all = next.appendPatterns(all, before+level+"/")
	}
	return all
}

// appendSets appends the sets of the patterns below n that match the rest of a
// name. more reports whether there is a rest.
func (n *patternNode) appendSets(sets []*subscribers, rest string, more bool) []*subscribers {
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
		sets = next.appendSets(sets, rest, more)
	}
	if next := n.levels["+"]; next != nil {
		sets = next.appendSets(sets, rest, more)
	}
	return sets
}
