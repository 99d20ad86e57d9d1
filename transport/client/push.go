package client

import (
	"crypto/rand"
	"encoding/binary"
	"strings"
	"sync"
	"time"
)

// crockford is Crockford's base32 alphabet in lower case. It sorts as the numbers do.
const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// A keyMaker makes keys that rise.
type keyMaker struct {
	mu   sync.Mutex
	time uint64   // Unix milliseconds of the last key
	last [10]byte // its random bits
}

// next returns a new key below prefix.
func (k *keyMaker) next(prefix string, now time.Time) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if ms := uint64(max(now.UnixMilli(), 0)); ms > k.time {
		k.time = ms
		rand.Read(k.last[:])
		k.last[0] &= 0x7f // leaves room to count up
	} else {
		k.increment() // the clock stands still, or was set back
	}
	var bits [16]byte
	binary.BigEndian.PutUint64(bits[:8], k.time<<16)
	copy(bits[6:], k.last[:])
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	return prefix + encodeBits(bits)
}

func (k *keyMaker) increment() {
	for i := len(k.last) - 1; i >= 0; i-- {
		k.last[i]++
		if k.last[i] != 0 {
			return
		}
	}
	k.time++ // 2^79 keys later
}

// encodeBits returns 128 bits in base32: 26 digits, the first of which has 3 bits.
func encodeBits(bits [16]byte) string {
	high, low := binary.BigEndian.Uint64(bits[:8]), binary.BigEndian.Uint64(bits[8:])
	var text [26]byte
	for i := len(text) - 1; i >= 0; i-- {
		text[i] = crockford[low&31]
		low = low>>5 | high<<59
		high >>= 5
	}
	return string(text[:])
}
