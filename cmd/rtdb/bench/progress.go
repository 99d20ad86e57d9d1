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

// A Progress is the state of a run that has not ended.
type Progress struct {
	Phase               string        // name of the current phase, for people to read
	Elapsed             time.Duration // since all clients were connected; 0 before
	Connected, All      int           // connections that were opened, and that will be
	WritesPerSecond     float64       // since the previous Progress
	DeliveriesPerSecond float64       // since the previous Progress
	P99                 time.Duration // of the latencies so far, without slow clients
}

// startProgress calls Options.OnProgress every second until the caller calls stop. The
// function stop waits for a call that is in progress.
func (r *run) startProgress() (stop func()) {
	if r.options.OnProgress == nil {
		return func() {}
	}
	end := make(chan struct{})
	var reporting sync.WaitGroup
	reporting.Go(func() { r.reportProgress(end) })
	return func() {
		close(end)
		reporting.Wait()
	}
}

func (r *run) reportProgress(end <-chan struct{}) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	before, writes, deliveries := time.Now(), int64(0), int64(0)
	for {
		select {
		case <-end:
			return
		case now := <-ticker.C:
			p := Progress{
				Phase:     r.phase.Load().(string),
				Connected: int(r.connected.Load()),
				All:       len(r.publishers) + len(r.subscribers),
			}
			if p.Phase != phaseConnecting && !r.epoch.IsZero() {
				p.Elapsed = time.Duration(r.now())
				p.P99 = time.Duration(r.recorder.latencies().ValueAtQuantile(99)) * time.Microsecond
				w, d := r.sentWrites(), r.recorder.totals().deliveries
				seconds := now.Sub(before).Seconds()
				p.WritesPerSecond = float64(w-writes) / seconds
				p.DeliveriesPerSecond = float64(d-deliveries) / seconds
				writes, deliveries = w, d
			}
			before = now
			r.options.OnProgress(p)
		}
	}
}
