package bench

import (
	"sync"
	"time"
)

const (
	phaseConnecting = "connecting"
	phaseMeasuring  = "measuring"
	phaseSettling   = "waiting for the last updates"
	phaseCleaning   = "deleting the keys"
)

// A Progress is how far a run is.
type Progress struct {
	Phase               string        // what is going on
	Elapsed             time.Duration // since writing began; 0 before
	Connected, All      int           // connections
	WritesPerSecond     float64       // since the last one
	DeliveriesPerSecond float64
	P99                 time.Duration // of all latencies so far
}

// startProgress calls OnProgress each second, until the function that it
// returns is called.
func (b *bench) startProgress() (stop func()) {
	if b.options.OnProgress == nil {
		return func() {}
	}
	end := make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		before, writes, deliveries := time.Now(), int64(0), int64(0)
		for {
			select {
			case <-end:
				return
			case now := <-ticker.C:
				p := Progress{
					Phase:     b.phase.Load().(string),
					Connected: int(b.connected.Load()),
					All:       len(b.publishers) + len(b.subscribers),
				}
				if p.Phase != phaseConnecting && !b.start.IsZero() {
					p.Elapsed = time.Duration(b.now())
					p.P99 = time.Duration(b.recorder.merged().ValueAtQuantile(99)) * time.Microsecond
					w, d := b.sent(), b.recorder.total().deliveries
					seconds := now.Sub(before).Seconds()
					p.WritesPerSecond = float64(w-writes) / seconds
					p.DeliveriesPerSecond = float64(d-deliveries) / seconds
					writes, deliveries = w, d
				}
				before = now
				b.options.OnProgress(p)
			}
		}
	})
	return func() {
		close(end)
		telling.Wait()
	}
}

// sent counts the writes so far.
func (b *bench) sent() (n int64) {
	for _, p := range b.publishers {
		n += int64(p.sent.Load())
	}
	return n
}
