package session

import (
	"testing"
	"unsafe"
)

// A Session has 512 bytes at most. Go puts 8 bytes before a larger object that has pointers, so
// that the next size takes 640, and the fields of a delivery are in three lines of the cache.
func TestASessionIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Session{}); n > 512 {
		t.Errorf("a session has %d bytes, want 512 at most: it takes 640 then", n)
	}
}
