package keyspace

import (
	"sync"
	"time"
)

// A run is the writes of one key that are committed together.
type run struct {
	writes    []Record
	began     time.Time // when the run was planned
	expires   time.Time // when the key expires after the last write; zero: never
	commitErr error     // the result of the commit
	bytes     int       // of the writes' values
	burst     *burst    // may take the update; nil: none
	turn      uint64    // of the write in the burst
	delivered int       // the number of writes that were delivered

	proved     bool   // a barrier has proved that the state was the newest
	full       bool   // a request did not fit into the run
	reserved   bool   // the run holds a place of the quota, and the key is not made yet
	inProgress bool   // the run is in the list of the keyspace's progress
	number     uint64 // in the order of the list
	bound      uint64
	prev, next *run
}

// takes reports whether a value of a size fits into a run for a shared store. If it does
// not, the run is full.
func (r *run) takes(size int) bool {
	n := len(r.writes)
	r.full = n >= MaxSharedRun || n > 0 && r.bytes+size > maxSharedBytes
	return !r.full
}

// runPool reuses runs, because the slice of writes grows with the load.
var runPool = sync.Pool{New: func() any { return new(run) }}
