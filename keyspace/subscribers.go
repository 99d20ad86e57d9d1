package keyspace

import "slices"

// manySubscribers is the number of subscribers above which a set has a map of
// positions. Most keys have a few subscribers, and for a few a list costs less time
// and memory than a map.
const manySubscribers = 32

// yieldAfter is the number of deliveries after which an actor yields: about a millisecond
// of work. An actor that delivers 200 writes to 10,000 subscribers without a pause takes a
// processor for 200 ms. With the pauses, the network is looked at each millisecond instead
// of each 10 ms (see actor.Yield).
const yieldAfter = 4096

// subscribers is the set of subscribers of one name or pattern. Only the actor of
// the name, or the holder of the patterns' lock, may use it.
type subscribers struct {
	list      []Subscriber
	positions map[Subscriber]int // in list; nil if there are few subscribers
}

// add adds x, unless the set has it already.
func (s *subscribers) add(x Subscriber) {
	if s.position(x) >= 0 {
		return
	}
	if len(s.list) == cap(s.list) && len(s.list) < 2 { // most keys have one subscriber
		s.list = slices.Grow(s.list, 1)
	}
	s.list = append(s.list, x)
	switch n := len(s.list); {
	case s.positions != nil:
		s.positions[x] = n - 1
	case n > manySubscribers:
		s.buildPositions()
	}
}

// remove removes x, and puts the last subscriber in its place. It frees memory if
// the list has become much too large.
func (s *subscribers) remove(x Subscriber) {
	i := s.position(x)
	if i < 0 {
		return
	}
	last := len(s.list) - 1
	moved := s.list[last]
	s.list[i] = moved
	s.list[last] = nil
	s.list = s.list[:last]
	if s.positions != nil {
		s.positions[moved] = i
		delete(s.positions, x)
	}
	switch c := cap(s.list); {
	case last == 0:
		*s = subscribers{}
	case last < c/4:
		s.list = slices.Clone(s.list)
		s.positions = nil
		if last > manySubscribers {
			s.buildPositions()
		}
	}
}

func (s *subscribers) buildPositions() {
	s.positions = make(map[Subscriber]int, len(s.list))
	for i, x := range s.list {
		s.positions[x] = i
	}
}

// position returns the index of x in the list, or -1.
func (s *subscribers) position(x Subscriber) int {
	if s.positions == nil {
		return slices.Index(s.list, x)
	}
	if i, ok := s.positions[x]; ok {
		return i
	}
	return -1
}

func (s *subscribers) len() int { return len(s.list) }

func (s *subscribers) empty() bool { return len(s.list) == 0 }

func (s *subscribers) has(x Subscriber) bool { return s.position(x) >= 0 }

func (s *subscribers) deliver(u *Update) {
	for _, x := range s.list {
		x.Deliver(u)
	}
}

// count returns the number of the subscribers of s and of the other sets. It counts a
// subscriber that is in several sets for each.
func (s *subscribers) count(sets []*subscribers) int {
	n := len(s.list)
	for _, set := range sets {
		n += len(set.list)
	}
	return n
}

// deliverWith delivers an update to the subscribers of s, and to those of the other
// sets. A subscriber that is in several sets receives the update once.
func (s *subscribers) deliverWith(sets []*subscribers, u *Update) {
	s.deliver(u)
	for i, set := range sets {
		for _, x := range set.list {
			if !s.has(x) && !anyHas(sets[:i], x) {
				x.Deliver(u)
			}
		}
	}
}

func anyHas(sets []*subscribers, x Subscriber) bool {
	return slices.ContainsFunc(sets, func(set *subscribers) bool { return set.has(x) })
}

// answerLost answers the requests that a panic left unanswered. An unsubscribe
// succeeds, because removing the subscriber needs nothing else. Every other request
// gets ErrInternal.
func (s *subscribers) answerLost(lost []*request) {
	for _, r := range lost {
		if r == nil {
			continue // answered before the panic
		}
		if r.op == opUnsubscribe {
			s.remove(r.subscriber)
			r.answer(result{})
		} else {
			r.answer(result{err: ErrInternal})
		}
	}
}
