// Package compact has a set that takes little memory: of a key's subscribers, of a session's
// subscriptions.
//
// A [Set] is a list of its elements. If the list is long, an index finds an element's position
// in it. The index has numbers of four bytes and not the elements. So a set of many strings
// takes 22 to 26 bytes for each, without their text, and a map 35 to 56; a set is made and
// searched as fast as a map or faster (BenchmarkAdd, BenchmarkHas).
//
// The rules:
//
//   - The list has room for a quarter more elements at most, or is half full at least if
//     elements were removed.
//   - The index is made anew with the list. At least a third of it is free.
//   - The elements have no order. Removing one changes the place of another.
//   - A set holds at most 4 billion elements, and does no locking.
//
// Less formally: to go through all elements is to go through a slice, which is what a
// delivery does; all the rest is for subscribing and unsubscribing.
package compact
