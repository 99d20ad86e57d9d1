package compact

import "slices"

// few is the capacity of the list up to which a set has no index. To look at 32 elements takes
// twice as long as to look one up in the index, and saves 7 bytes an element (BenchmarkHas).
const few = 32

// A Set is a set of elements. The zero value is an empty set.
type Set[T comparable] struct {
	list  []T
	index *index[T] // nil if the list is short
}

// All returns the elements, in no order. The caller must not change the slice, and may use
// it until the set changes.
func (s *Set[T]) All() []T { return s.list }

// Len returns the number of elements.
func (s *Set[T]) Len() int { return len(s.list) }

// Has reports whether x is in the set.
func (s *Set[T]) Has(x T) bool { return s.position(x) >= 0 }

// Equal reports whether two sets have the same elements. It takes the least time if these were
// added in the same order.
func (s *Set[T]) Equal(other *Set[T]) bool {
	if len(s.list) != len(other.list) {
		return false
	}
	for i, x := range s.list {
		if other.list[i] != x && !other.Has(x) {
			return false
		}
	}
	return true
}

// position returns the position of x in the list, or -1.
func (s *Set[T]) position(x T) int {
	if s.index == nil {
		return slices.Index(s.list, x)
	}
	return s.index.position(s.list, x)
}

// Add adds x. It reports whether x is new to the set.
func (s *Set[T]) Add(x T) (isNew bool) {
	if s.Has(x) {
		return false
	}
	if n := len(s.list); n == cap(s.list) {
		s.resize(n + n/4 + 1) // by an eighth, a set would take 1 byte an element less and be made in twice the time
	}
	s.list = append(s.list, x)
	if s.index != nil {
		s.index.add(s.list, len(s.list)-1)
	}
	return true
}

// Remove removes x, and puts the last element in its place. It reports whether x was in the
// set.
func (s *Set[T]) Remove(x T) (wasThere bool) {
	i := s.position(x)
	if i < 0 {
		return false
	}
	last := len(s.list) - 1
	if s.index != nil {
		s.index.remove(s.list, i)
	}
	s.list[i] = s.list[last]
	clear(s.list[last:])
	s.list = s.list[:last]
	switch {
	case last == 0:
		*s = Set[T]{}
	case last < cap(s.list)/2:
		s.resize(last)
	}
	return true
}

// Replace puts x in the place of the element that equals it, if there is one. It is for
// strings: equal strings may be in different memory.
func (s *Set[T]) Replace(x T) {
	if i := s.position(x); i >= 0 {
		s.list[i] = x
	}
}

// resize makes a list that holds n elements, or some more if the memory for n has room for
// them.
func (s *Set[T]) resize(n int) {
	s.list = append(slices.Grow([]T(nil), n), s.list...)
	s.index = nil
	if cap(s.list) > few {
		s.index = newIndex(s.list)
	}
}
