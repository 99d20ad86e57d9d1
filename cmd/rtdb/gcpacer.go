package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// minGrowth is how many bytes the heap may grow, at least, before it is collected.
	minGrowth = 16 << 20

	// maxGCPercent is the largest value of GOGC that a gcPacer sets. With it Go's smallest
	// heap, 4 MB × GOGC / 100, is minGrowth.
	maxGCPercent = 400
)

// A gcPacer keeps Go from collecting a small heap all the time. With GOGC=100 the heap may grow
// by as much as is live, which is 4 MB if there are few keys and clients: a busy server would
// collect it 40 times a second. That was a tenth of the CPU of writes by REST
// (BenchmarkWritesREST: 0.67 of the echo's rate, 0.73 with a pacer; 0.74 with a minGrowth of
// 32 MB) and of deliveries of 1000 keys (BenchmarkFanoutManyKeys: 0.77 of Redis, 0.70 with a
// pacer). When the server becomes quiet, the reclaimer gives the garbage back; about 1 MB of the
// runtime's own memory stays (BenchmarkSubscription).
//
// A heap of more than minGrowth is collected as with GOGC=100, and near the memory limit Go
// collects whatever GOGC is. The pacer hears of a collection a moment after it has ended: a heap
// that grows as fast as one processor can allocate reaches up to 80 MB before the second
// collection.
type gcPacer struct {
	samples []metrics.Sample
	percent int
}

// startGCPacer starts a pacer, which lasts as long as the process. It does nothing if the
// environment sets GOGC.
func startGCPacer() {
	if os.Getenv("GOGC") != "" {
		return
	}
	p := &gcPacer{percent: 100}
	for _, name := range []string{"/gc/heap/live:bytes", "/gc/scan/stack:bytes", "/gc/scan/globals:bytes"} {
		p.samples = append(p.samples, metrics.Sample{Name: name})
	}
	p.pace()
}

// pace sets GOGC, and again after each collection.
func (p *gcPacer) pace() {
	metrics.Read(p.samples)
	marked := uint64(0) // by the last collection; Go lets the heap grow by a percentage of this
	for _, s := range p.samples {
		marked += s.Value.Uint64()
	}
	if percent := gcPercent(marked); percent != p.percent {
		debug.SetGCPercent(percent)
		p.percent = percent
	}
	type garbage struct{ _ [64]byte } // large enough not to share its memory with other objects
	runtime.AddCleanup(new(garbage), func(p *gcPacer) { p.pace() }, p)
}

// gcPercent returns the GOGC with which a heap of which a number of bytes is live may grow by
// minGrowth.
func gcPercent(live uint64) int {
	return int(min(max(100, 100*minGrowth/max(1, live)), maxGCPercent))
}
