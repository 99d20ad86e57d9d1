package jetstream

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"
)

// An instance names one life of a node. A node that starts, or comes back after it was
// declared dead, is another instance.
type instance uint64

func newInstance() instance {
	var random [8]byte
	_, _ = rand.Read(random[:]) // it never fails
	return instance(binary.BigEndian.Uint64(random[:]))
}

func (i instance) String() string { return fmt.Sprintf("%016x", uint64(i)) }

func parseInstance(text string) (instance, error) {
	n, err := strconv.ParseUint(text, 16, 64)
	if err == nil && instance(n).String() != text {
		err = strconv.ErrSyntax
	}
	return instance(n), err
}

// A peer is another node.
type peer struct {
	name    string
	heardAt time.Time // when its last beat was stored, by this machine's clock
	last    uint64    // the sequence of its last beat
	loaded  uint64    // the sequence at which it had loaded the state

	isCompared, agrees bool // its state, with this node's
}

func (p *peer) isAlive() bool { return time.Since(p.heardAt) < cutOffAfter }

// nodes are the other nodes that this one has heard of.
type nodes struct {
	mu        sync.Mutex
	peers     map[instance]*peer
	unsettled map[instance]struct{} // dead ones whose wills this node has not seen carried out
}

// heard notes a beat of a node that was stored some time ago.
func (n *nodes) heard(id instance, sequence uint64, b beat, age time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.peers == nil {
		n.peers = map[instance]*peer{}
	}
	p := n.peers[id]
	if p == nil {
		p = &peer{}
		n.peers[id] = p
	}
	p.name, p.last, p.loaded, p.heardAt = b.Node, sequence, b.Loaded, time.Now().Add(-age)
}

// knows reports whether a beat of a node has come.
func (n *nodes) knows(id instance) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.peers[id] != nil
}

func (n *nodes) remove(id instance) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.peers, id)
}

// unsettle notes that a dead node may have left wills.
func (n *nodes) unsettle(id instance) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.unsettled == nil {
		n.unsettled = map[instance]struct{}{}
	}
	n.unsettled[id] = struct{}{}
}

// settle notes that the wills of a dead node are carried out.
func (n *nodes) settle(id instance) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.unsettled, id)
}

// dead returns the dead nodes that may have left wills.
func (n *nodes) dead() []instance {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Keys(n.unsettled))
}

// compared notes whether a node's state is the same as this node's.
func (n *nodes) compared(id instance, agrees bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.peers[id]; p != nil {
		p.isCompared, p.agrees = true, agrees
	}
}

// outvoted reports whether more nodes disagree with this node's state than agree, this one
// counted. If there are as many, those that loaded the state later are taken to be wrong.
func (n *nodes) outvoted(loaded uint64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	agree, differ, oldest := 1, 0, ^uint64(0)
	for _, p := range n.peers {
		switch {
		case !p.isCompared || time.Since(p.heardAt) > cutOffAfter:
		case p.agrees:
			agree++
			loaded = min(loaded, p.loaded)
		default:
			differ++
			oldest = min(oldest, p.loaded)
		}
	}
	return differ > agree || differ == agree && oldest < loaded
}

// silent returns the nodes from which no beat has come for so long, with the sequences of
// their last beats.
func (n *nodes) silent(since time.Duration) map[instance]peer {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all map[instance]peer
	for id, p := range n.peers {
		if time.Since(p.heardAt) > since {
			if all == nil {
				all = map[instance]peer{}
			}
			all[id] = *p
		}
	}
	return all
}

// alive returns the number of other nodes that are alive.
func (n *nodes) alive() (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.peers {
		if p.isAlive() {
			count++
		}
	}
	return count
}

// owns reports whether a node is the owner of a key among the nodes that are alive: the one
// with the highest hash (rendezvous hashing; Thaler and Ravishankar, 1998). Nodes may
// disagree about that for a moment, because they do not hear the beats at the same time.
func (n *nodes) owns(id instance, key string) bool {
	h := fnv1a(key)
	mine := mix(h ^ uint64(id))
	n.mu.Lock()
	defer n.mu.Unlock()
	for other, p := range n.peers {
		if mix(h^uint64(other)) > mine && p.isAlive() {
			return false
		}
	}
	return true
}
