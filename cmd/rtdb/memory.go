package main

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// limitMemory sets Go's memory limit to nine tenths of the container's limit, unless
// GOMEMLIMIT sets it. It returns the limit in bytes, or 0 if there is no limit.
func limitMemory() int64 {
	// The error only says that there is no cgroup, or that it has no limit.
	_, _ = memlimit.Set(memlimit.WithRatio(0.9), memlimit.WithProvider(memlimit.FromCgroup))
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit
	}
	return 0
}

const (
	// guardInterval is the time between two looks at the memory.
	guardInterval = 50 * time.Millisecond

	// shortShare is the share of the limit at which memory is short.
	shortShare = 0.75
	// suspectShare is the share of the limit at which a collection is worth its cost,
	// because it shows how much of the memory is garbage.
	suspectShare = 0.85

	// maxPause is the longest time for which freed memory stays unnoticed.
	maxPause = 10 * time.Second
)

// A memoryGuard reports when memory is short, so that the server can refuse requests
// that need more. With Go's limit alone, the garbage collector would run without end.
type memoryGuard struct {
	limit   float64 // bytes; 0 is no limit
	short   atomic.Bool
	stop    chan struct{}
	running sync.WaitGroup
}

// guardMemory starts a guard, which the caller must close. Without a limit, memory is
// never short.
func guardMemory(limit int64) *memoryGuard {
	g := &memoryGuard{limit: float64(limit), stop: make(chan struct{})}
	if limit == 0 {
		return g
	}
	g.running.Go(g.watch)
	return g
}

// watch updates short until the guard is closed.
func (g *memoryGuard) watch() {
	ticker := time.NewTicker(guardInterval)
	defer ticker.Stop()
	samples := newSamples()
	var collected time.Time
	pause := time.Second // between two collections
	for {
		select {
		case <-g.stop:
			return
		case <-ticker.C:
		}
		live, all := samples.read()
		short := live > shortShare*g.limit
		// Only a collection updates live. While the server refuses everything, nothing
		// allocates, and no collection would start by itself.
		if (all > suspectShare*g.limit || short) && time.Since(collected) > pause {
			runtime.GC()
			collected = time.Now()
			live, _ = samples.read()
			if short = live > shortShare*g.limit; short {
				pause = min(2*pause, maxPause)
			} else {
				pause = time.Second
			}
		}
		g.short.Store(short)
	}
}

// isShort reports whether memory is short. It never blocks.
func (g *memoryGuard) isShort() bool { return g.short.Load() }

// close ends the guard, and returns when its goroutine has ended.
func (g *memoryGuard) close() {
	close(g.stop)
	g.running.Wait()
}

// samples hold the metrics of the Go runtime about memory.
type samples []metrics.Sample

func newSamples() samples {
	var s samples
	for _, name := range []string{
		"/memory/classes/total:bytes", "/memory/classes/heap/released:bytes",
		"/memory/classes/heap/objects:bytes", "/memory/classes/heap/unused:bytes", "/memory/classes/heap/free:bytes",
		"/gc/heap/live:bytes",
	} {
		s = append(s, metrics.Sample{Name: name})
	}
	return s
}

// read returns the bytes in use after the last collection, and the bytes in use now,
// with garbage. Both include stacks and the runtime's own memory.
func (s samples) read() (live, all float64) {
	metrics.Read(s)
	var v [6]float64
	for i := range s {
		v[i] = float64(s[i].Value.Uint64())
	}
	total, released, objects, unused, free, marked := v[0], v[1], v[2], v[3], v[4], v[5]
	other := total - released - objects - unused - free
	return marked + other, objects + other
}
