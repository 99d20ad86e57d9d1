package session

import (
	"testing"
	"unsafe"
)

// A Session has 512 bytes at most, and so begins with a line of the cache. Go puts 8 bytes before a
// larger object that has pointers, and the next size takes 640.
func TestASessionIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Session{}); n > 512 {
		t.Errorf("a session has %d bytes, want 512 at most: it takes 640 then", n)
	}
}

// All that a push changes is in one line of the cache, besides the message. When it was in three, a
// delivery took 2 to 4% longer (BenchmarkFanoutManyKeys).
func TestAPushChangesOneLine(t *testing.T) {
	const line = 64
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("pointers have another size")
	}
	var s Session
	begin, end := unsafe.Offsetof(s.box), unsafe.Offsetof(s.box)+unsafe.Offsetof(s.box.base)
	if begin%line != 0 || end > begin+line {
		t.Errorf("the fields of a push are at %d to %d of a session, want one line of %d", begin, end, line)
	}
}
