package demo

import (
	"math"
	"math/rand/v2"
)

// A walk is a random walk of a temperature that stays near the middle of its range.
type walk struct {
	random *rand.Rand
	low    float64
	high   float64
	value  float64
}

// newWalk returns a walk from low to high. Walks of the same seed and number are equal.
func newWalk(seed, number uint64, low, high float64) *walk {
	random := rand.New(rand.NewPCG(seed, number))
	return &walk{random: random, low: low, high: high, value: low + (high-low)*random.Float64()}
}

// next returns the next value, rounded to a tenth. It is never out of the range.
func (w *walk) next() float64 {
	width := w.high - w.low
	pull := ((w.low+w.high)/2 - w.value) * 0.01
	w.value = min(max(w.value+pull+w.random.NormFloat64()*width*0.02, w.low), w.high)
	return math.Round(w.value*10) / 10
}

// jitter returns a random duration factor around 1, so that writers that began together do
// not stay together.
func (w *walk) jitter() float64 { return 0.75 + w.random.Float64()/2 }
