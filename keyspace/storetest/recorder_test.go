package storetest

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// A recorder is a [testing.TB] whose failures do not fail the test.
type recorder struct {
	testing.TB

	mu       sync.Mutex
	failures []string
	skipped  bool
	cleanups []func()
}

// record runs a check to its end.
func record(t *testing.T, c check, o Options) *recorder {
	r := &recorder{TB: t}
	var running sync.WaitGroup
	running.Go(func() { // it may end with runtime.Goexit
		defer r.cleanUp()
		c.run(r, o)
	})
	running.Wait()
	return r
}

func (r *recorder) Helper()             {}
func (r *recorder) Log(...any)          {}
func (r *recorder) Logf(string, ...any) {}

func (r *recorder) Error(args ...any)                 { r.fail(fmt.Sprint(args...)) }
func (r *recorder) Errorf(format string, args ...any) { r.fail(fmt.Sprintf(format, args...)) }

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Skip(...any) {
	r.skipped = true
	runtime.Goexit()
}

func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

func (r *recorder) cleanUp() {
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
}

func (r *recorder) fail(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, text)
}
