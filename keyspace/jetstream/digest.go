package jetstream

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// A Digest describes the state after the message at a sequence. Two nodes with the same state
// have the same digest. Nodes with different states have different ones, except in one case
// of 2^64.
type Digest struct {
	Sequence uint64 `json:"sequence"`
	Keys     uint64 `json:"keys"`
	Hash     uint64 `json:"hash,string"`
}

func (d Digest) String() string {
	return fmt.Sprintf("%d keys and hash %016x at sequence %d", d.Keys, d.Hash, d.Sequence)
}

// remembered is the number of digests that a node keeps to compare with those of others.
const remembered = 256

// A digester keeps the digest of the state that the feed has brought. The keyspace's own
// state may be ahead of it. The hash is the sum of a hash for each key, so that a write
// changes it in constant time.
type digester struct {
	latest map[nameHash]uint64 // the sequence of each key's message
	hash   uint64
	past   []Digest // a ring
	next   int
}

// set notes the message of a key at a sequence, and whether it leaves the key with a value.
func (d *digester) set(name string, sequence uint64, exists bool) {
	if d.latest == nil {
		d.latest = map[nameHash]uint64{}
	}
	h := hashName(name)
	if old, ok := d.latest[h]; ok {
		d.hash -= h.with(old)
	}
	if !exists {
		delete(d.latest, h)
		return
	}
	d.latest[h] = sequence
	d.hash += h.with(sequence)
}

// A nameHash stands for a key's name. It is cryptographic, so that no client can find two names
// with the same one.
type nameHash [16]byte

func hashName(name string) nameHash {
	sum := sha256.Sum256([]byte(name))
	return nameHash(sum[:16])
}

// with returns the hash of the name and the sequence of its message.
func (h nameHash) with(sequence uint64) uint64 {
	return mix(binary.LittleEndian.Uint64(h[:]) ^ mix(binary.LittleEndian.Uint64(h[8:])^sequence*goldenRatio))
}

// at remembers and returns the digest at the sequence that the feed has come to.
func (d *digester) at(sequence uint64) Digest {
	now := Digest{Sequence: sequence, Keys: uint64(len(d.latest)), Hash: d.hash}
	if len(d.past) < remembered {
		d.past = append(d.past, now)
	} else {
		d.past[d.next] = now
		d.next = (d.next + 1) % remembered
	}
	return now
}

// find returns the digest that at has returned for a sequence.
func (d *digester) find(sequence uint64) (Digest, bool) {
	for _, past := range d.past {
		if past.Sequence == sequence {
			return past, true
		}
	}
	return Digest{}, false
}

// goldenRatio is 2^64 divided by the golden ratio, an odd number without a pattern of bits.
const goldenRatio = 0x9e3779b97f4a7c15

// fnv1a is the 64-bit FNV-1a hash (Fowler, Noll and Vo). All nodes must use the same function, so
// hash/maphash, whose seeds are random, does not do.
func fnv1a(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// mix is the finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
