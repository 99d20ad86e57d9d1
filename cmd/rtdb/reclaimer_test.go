package main

import (
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
)

// A look is a heapSample in MB: what was allocated since the last look, live and held.
type look struct{ allocated, live, held uint64 }

func TestHeapHistory(t *testing.T) {
	for name, x := range map[string]struct {
		looks []look
		want  []int // the looks after which the heap is reclaimed
	}{
		"a small program": {[]look{{5, 3, 6}, {0, 3, 6}, {0, 3, 6}}, nil},
		"a burst":         {[]look{{5, 2, 6}, {80, 30, 70}, {9, 30, 79}, {0, 30, 79}, {0, 40, 42}, {0, 40, 42}}, []int{3}},
		"all of it lives": {[]look{{90, 30, 90}, {0, 30, 90}, {0, 88, 90}, {1, 88, 91}, {1, 88, 92}}, []int{1}},
		"fragments stay":  {[]look{{90, 30, 90}, {0, 30, 90}, {0, 30, 60}, {1, 30, 61}, {1, 30, 62}}, []int{1}},
		"it is busy":      {[]look{{90, 30, 90}, {2, 30, 92}, {2, 30, 94}, {2, 30, 96}}, nil},
		"a second burst":  {[]look{{90, 30, 90}, {0, 30, 90}, {0, 40, 40}, {50, 40, 90}, {0, 40, 90}, {0, 50, 52}}, []int{1, 4}},
		"little is free":  {[]look{{90, 80, 100}, {0, 80, 100}, {0, 80, 100}}, nil},
		"slow garbage": {[]look{{90, 30, 90}, {0, 30, 90}, {1, 40, 40}, {1, 40, 45}, {1, 40, 49}, {1, 40, 54},
			{1, 40, 40}, {1, 40, 49}, {1, 40, 54}}, []int{1, 5, 8}},
	} {
		var h heapHistory
		var allocated uint64
		var got []int
		pending := false
		for i, l := range x.looks {
			allocated += l.allocated
			s := heapSample{allocated << 20, l.live << 20, l.held << 20}
			if pending { // the first look after a reclaim is the one that comes at once
				h.reclaimed(s)
				pending = false
				continue
			}
			if h.due(s) {
				got = append(got, i)
				pending = true
			}
		}
		if !slices.Equal(got, x.want) {
			t.Errorf("%s: reclaimed after the looks %v, want %v", name, got, x.want)
		}
	}
}

// BenchmarkReclaim is the cost of a reclaim of a heap of 300 MB, of which nothing is garbage.
func BenchmarkReclaim(b *testing.B) {
	heap := make([][]*[64]byte, 300)
	for i := range heap {
		heap[i] = make([]*[64]byte, 1<<20/(64+8))
		for j := range heap[i] {
			heap[i][j] = new([64]byte)
		}
	}
	for b.Loop() {
		debug.FreeOSMemory()
	}
	runtime.KeepAlive(heap)
}

// BenchmarkHeapLook is the cost of a look at the heap.
func BenchmarkHeapLook(b *testing.B) {
	samples := newHeapSamples()
	b.ReportAllocs()
	for b.Loop() {
		samples.read()
	}
}
