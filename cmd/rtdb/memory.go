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

// limitMemory sets Go's memory limit to nine tenths of the container's, unless
// GOMEMLIMIT says what it is. It returns the limit, 0 where there is none.
func limitMemory() int64 {
	// Where there is no cgroup, or none with a limit, that is an error, and no
	// trouble.
	_, _ = memlimit.Set(memlimit.WithRatio(0.9), memlimit.WithProvider(memlimit.FromCgroup))
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit
	}
	return 0
}

const (
	// memoryStep is how often a memoryGuard looks.
	memoryStep = 50 * time.Millisecond

	// Of the limit: from where on there is no room for more, and from where on
	// it is worth a collection to know what is garbage.
	crowdedShare = 0.75
	suspectShare = 0.85

	// longestPause is how long at most memory that was freed stays unnoticed.
	longestPause = 10 * time.Second
)

// A memoryGuard says when memory is short, so that what would need more is refused
// in time. Go's limit alone would have the collector run without end.
type memoryGuard struct {
	limit   float64
	crowded atomic.Bool
	stop    chan struct{}
	looking sync.WaitGroup
}

// guardMemory returns a guard that has to be closed. Without a limit it never says
// that memory is short.
func guardMemory(limit int64) *memoryGuard {
	g := &memoryGuard{limit: float64(limit), stop: make(chan struct{})}
	if limit == 0 {
		return g
	}
	g.looking.Go(func() {
		ticker := time.NewTicker(memoryStep)
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
			crowded := live > crowdedShare*g.limit
			// What is live is known since the last collection, and while all is
			// refused nothing causes one.
			if (all > suspectShare*g.limit || crowded) && time.Since(collected) > pause {
				runtime.GC()
				collected = time.Now()
				live, _ = samples.read()
				if crowded = live > crowdedShare*g.limit; crowded {
					pause = min(2*pause, longestPause)
				} else {
					pause = time.Second
				}
			}
			g.crowded.Store(crowded)
		}
	})
	return g
}

// isCrowded reports whether memory is short.
func (g *memoryGuard) isCrowded() bool { return g.crowded.Load() }

func (g *memoryGuard) close() {
	close(g.stop)
	g.looking.Wait()
}

// samples are what runtime/metrics knows of memory.
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

// read returns the bytes that were in use after the last collection, and those
// that are in use, garbage included; stacks and the like are in both.
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
