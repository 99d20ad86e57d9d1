package transfer

import (
	"sync"
	"time"
)

// progressInterval is the time between two calls of a function OnProgress.
const progressInterval = time.Second

// A Progress is the state of a transfer that has not ended.
type Progress struct {
	Elapsed       time.Duration
	Keys          int64   // exported or imported; 0 for a backup
	Bytes         int64   // received of a backup; 0 otherwise
	KeysPerSecond float64 // since the previous Progress
}

// startProgress calls report every second, always from the same goroutine, until the
// caller calls stop. The function stop waits for a call that is in progress. report may
// be nil. keys and bytes return the counts.
func startProgress(report func(Progress), keys, bytes func() int64) (stop func()) {
	if report == nil {
		return func() {}
	}
	end := make(chan struct{})
	var reporting sync.WaitGroup
	reporting.Go(func() {
		ticker := time.NewTicker(progressInterval)
		defer ticker.Stop()
		start := time.Now()
		before, counted := start, int64(0)
		for {
			select {
			case <-end:
				return
			case now := <-ticker.C:
				n := keys()
				report(Progress{
					Elapsed: now.Sub(start), Keys: n, Bytes: bytes(),
					KeysPerSecond: float64(n-counted) / now.Sub(before).Seconds(),
				})
				before, counted = now, n
			}
		}
	})
	return func() {
		close(end)
		reporting.Wait()
	}
}

// none is the count of keys or bytes of a transfer that does not count them.
func none() int64 { return 0 }
