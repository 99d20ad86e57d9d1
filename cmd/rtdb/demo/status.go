package demo

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// A Status says how a [Fleet] is doing.
type Status struct {
	Devices  int
	Online   int    // devices that are connected now
	Readings uint64 // that were written
	Commands uint64 // commands that were answered
	Failed   uint64 // requests that failed
	Trouble  error  // the last error of a device or of a request; nil if all devices are online
}

// String formats the status for a terminal of 80 columns.
func (s Status) String() string {
	text := fmt.Sprintf("%d of %d devices online, %d readings, %d commands", s.Online, s.Devices, s.Readings, s.Commands)
	if s.Failed > 0 {
		text += fmt.Sprintf(", %d failed", s.Failed)
	}
	return text
}

// counts are the figures of a Status.
type counts struct {
	online   atomic.Int64
	readings atomic.Uint64
	commands atomic.Uint64
	failed   atomic.Uint64

	mu      sync.Mutex
	trouble error
}

func (c *counts) status(devices int) Status {
	s := Status{
		Devices: devices, Online: int(c.online.Load()),
		Readings: c.readings.Load(), Commands: c.commands.Load(), Failed: c.failed.Load(),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.Online < devices {
		s.Trouble = c.trouble
	}
	return s
}

// note keeps the newest trouble.
func (c *counts) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trouble = err
}
