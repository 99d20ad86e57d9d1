package socket

import (
	"sync"
	"time"
)

// A Heartbeat calls a function at intervals. It has no goroutine in between. The zero value
// does nothing until Start.
type Heartbeat struct {
	mu    sync.Mutex
	timer *time.Timer // nil before Start and after Stop
}

// Start begins to call beat, which must not block.
func (h *Heartbeat) Start(interval time.Duration, beat func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.timer = time.AfterFunc(interval, func() {
		beat()
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.timer != nil {
			h.timer.Reset(interval)
		}
	})
}

// Stop ends the calls. One may still be under way.
func (h *Heartbeat) Stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timer != nil {
		h.timer.Stop()
		h.timer = nil
	}
}
