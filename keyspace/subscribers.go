package keyspace

import "slices"

// manySubscribers is from how many on they are looked for by a map. Most keys
// have a few, and of those a list costs less than a map, in time and memory.
const manySubscribers = 32

// subscribers is who gets the updates of one name or pattern. Only its actor,
// or who holds its lock, touches it.
type subscribers struct {
	list   []Subscriber
	places map[Subscriber]int // in list; nil where there are few
}

func (s *subscribers) add(x Subscriber) {
	if s.place(x) >= 0 {
		return
	}
	if len(s.list) == cap(s.list) && len(s.list) < 2 { // most keys of most screens have one
		s.list = slices.Grow(s.list, 1)
	}
	s.list = append(s.list, x)
	switch n := len(s.list); {
	case s.places != nil:
		s.places[x] = n - 1
	case n > manySubscribers:
		s.placeAll()
	}
}

// remove puts the last in the place of x. It gives up what has become far too
// large.
func (s *subscribers) remove(x Subscriber) {
	i := s.place(x)
	if i < 0 {
		return
	}
	last := len(s.list) - 1
	moved := s.list[last]
	s.list[i] = moved
	s.list[last] = nil
	s.list = s.list[:last]
	if s.places != nil {
		s.places[moved] = i
		delete(s.places, x)
	}
	switch c := cap(s.list); {
	case last == 0:
		*s = subscribers{}
	case last < c/4:
		s.list = slices.Clone(s.list)
		s.places = nil
		if last > manySubscribers {
			s.placeAll()
		}
	}
}

func (s *subscribers) placeAll() {
	s.places = make(map[Subscriber]int, len(s.list))
	for i, x := range s.list {
		s.places[x] = i
	}
}

// place returns where x is in the list, -1 where it is not.
func (s *subscribers) place(x Subscriber) int {
	if s.places == nil {
		return slices.Index(s.list, x)
	}
	if i, ok := s.places[x]; ok {
		return i
	}
	return -1
}

func (s *subscribers) any() bool { return len(s.list) > 0 }

func (s *subscribers) has(x Subscriber) bool { return s.place(x) >= 0 }

func (s *subscribers) deliver(u *Update) {
	for _, x := range s.list {
		x.Deliver(u)
	}
}

// settle answers what a panic left undone: it lets go of the subscribers that
// asked for that, and tells everybody else ErrInternal.
func (s *subscribers) settle(lost []*request) {
	for _, r := range lost {
		if r == nil {
			continue // had its answer before the panic
		}
		if r.op == opUnsubscribe {
			s.remove(r.subscriber)
			r.answer(result{})
		} else {
			r.answer(result{err: ErrInternal})
		}
	}
}
