package compact

import (
	"hash/maphash"
	"math/bits"
)

// seed is one for all sets, so that a set need not hold it.
var seed = maphash.MakeSeed()

// An index finds the positions of elements in a list. It is a hash table with open
// addressing and linear probing. It does not hold the elements, so its methods are
// passed the list.
type index[T comparable] struct {
	slots []uint32 // each holds a position + 1; 0: the slot is free
}

// newIndex returns an index for as many elements as the list has room for, with the
// elements of the list in it.
func newIndex[T comparable](list []T) *index[T] {
	x := &index[T]{slots: make([]uint32, cap(list)+cap(list)/2)}
	for i := range list {
		x.add(list, i)
	}
	return x
}

// home returns the slot of an element whose hash no other element has.
func (x *index[T]) home(element T) int {
	slot, _ := bits.Mul64(maphash.Comparable(seed, element), uint64(len(x.slots)))
	return int(slot)
}

// next returns the slot after a slot.
func (x *index[T]) next(slot int) int {
	if slot++; slot < len(x.slots) {
		return slot
	}
	return 0
}

// position returns the position of an element, or -1.
func (x *index[T]) position(list []T, element T) int {
	for slot := x.home(element); x.slots[slot] != 0; slot = x.next(slot) {
		if i := int(x.slots[slot]) - 1; list[i] == element {
			return i
		}
	}
	return -1
}

// add adds the element at a position. The index has none that equals it.
func (x *index[T]) add(list []T, position int) {
	slot := x.home(list[position])
	for x.slots[slot] != 0 {
		slot = x.next(slot)
	}
	x.slots[slot] = uint32(position) + 1
}

// slotOf returns the slot that holds a position.
func (x *index[T]) slotOf(list []T, position int) int {
	slot := x.home(list[position])
	for x.slots[slot] != uint32(position)+1 {
		slot = x.next(slot)
	}
	return slot
}

// remove removes the element at a position, and gives its position to the last element of the
// list. The caller changes the list after it.
func (x *index[T]) remove(list []T, position int) {
	x.free(list, x.slotOf(list, position))
	if last := len(list) - 1; position != last {
		x.slots[x.slotOf(list, last)] = uint32(position) + 1
	}
}

// free frees a slot. It moves elements behind the slot towards their homes, so that a search
// still finds them.
func (x *index[T]) free(list []T, slot int) {
	for later := x.next(slot); x.slots[later] != 0; later = x.next(later) {
		home := x.home(list[x.slots[later]-1])
		if x.distance(home, later) >= x.distance(slot, later) {
			x.slots[slot] = x.slots[later]
			slot = later
		}
	}
	x.slots[slot] = 0
}

// distance returns how many slots a search looks at before it comes from one slot to another.
func (x *index[T]) distance(from, to int) int {
	if to < from {
		to += len(x.slots)
	}
	return to - from
}
