package demo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"syscall"
	"time"

	"rtdb/transport/client"
)

// FirstSimulated is the number of the first device of rtdb simulate. The demo's own devices
// have lower numbers, so that both can run at the same time.
const FirstSimulated = 101

// startsPerSecond is how many devices begin to connect in a second.
const startsPerSecond = 250

// FleetOptions are the settings of a [Fleet].
type FleetOptions struct {
	Server   Server
	Devices  int
	First    int           // number of the first device
	Prefix   string        // of the keys, such as devices
	Interval time.Duration // between two heartbeats of a device, on average
	Seed     uint64

	// Ready is called once, when each device was connected, or when [Fleet.Run] ends before
	// that. It must return soon. nil: nothing is called.
	Ready func()
}

// Validate returns an error if an option is wrong.
func (o FleetOptions) Validate() error {
	const most = 100_000
	switch {
	case o.Devices < 1 || o.Devices > most:
		return fmt.Errorf("--devices: expected 1 to %d but got %d", most, o.Devices)
	case o.First < 0 || o.First > 1<<30:
		return fmt.Errorf("--first: expected 0 to %d but got %d", 1<<30, o.First)
	case o.Interval < 10*time.Millisecond || o.Interval > time.Hour:
		return fmt.Errorf("--interval: expected 10ms to 1h but got %v", o.Interval)
	// Keys have the form of paths. The server checks the rest.
	case len(o.Prefix) > 100 || strings.ContainsAny(o.Prefix, "+#") || !fs.ValidPath(o.Prefix) || o.Prefix == ".":
		return fmt.Errorf("--prefix: expected the beginning of a key, such as devices or site/7, of 100 bytes at most, but got %q", o.Prefix)
	}
	return nil
}

// A Fleet is a number of simulated devices.
type Fleet struct {
	options FleetOptions
	counts  counts
	devices []*device
}

// NewFleet returns a fleet that does not run yet.
func NewFleet(o FleetOptions) *Fleet {
	f := &Fleet{options: o, devices: make([]*device, o.Devices)}
	for i := range f.devices {
		f.devices[i] = newDevice(&f.options, &f.counts, o.First+i)
	}
	return f
}

// Status returns how the fleet is doing. It may be called at any time.
func (f *Fleet) Status() Status { return f.counts.status(len(f.devices)) }

// Run runs the devices until ctx ends. Then each device writes that it is offline, and Run
// returns nil. Run fails if the server cannot be reached, or if an error comes that does
// not pass.
func (f *Fleet) Run(ctx context.Context) error {
	connected := newCountdown(len(f.devices), f.options.Ready)
	defer connected.finish()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var running sync.WaitGroup
	start := func(d *device, began func()) {
		running.Go(func() {
			if err := d.run(ctx, began); err != nil && ctx.Err() == nil {
				fail(f.explain(d, err))
			}
		})
	}
	pause := time.NewTicker(time.Second / startsPerSecond)
	defer pause.Stop()
	for i, d := range f.devices {
		if i == 0 { // the others start when it has connected, so a wrong address is tried once
			first := make(chan struct{})
			start(d, func() { connected.done(); close(first) })
			select {
			case <-first:
			case <-ctx.Done():
			}
			continue
		}
		select {
		case <-pause.C:
			start(d, connected.done)
		case <-ctx.Done():
		}
	}
	<-ctx.Done()
	running.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// explain adds advice to an error.
func (f *Fleet) explain(d *device, err error) error {
	switch {
	case errors.Is(err, client.ErrReplaced):
		return fmt.Errorf("device %s: another program runs devices with these numbers: choose others by --first or --prefix: %w", d.name, err)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return fmt.Errorf("device %s: %w: raise the limit with ulimit -n, or lower --devices", d.name, err)
	case d.number == f.options.First: // each device would have this error
		return err
	}
	return fmt.Errorf("device %s: %w", d.name, err)
}

// A countdown calls a function when all devices were connected.
type countdown struct {
	mu   sync.Mutex
	left int
	call func() // nil: it was called
}

func newCountdown(n int, call func()) *countdown {
	c := &countdown{left: n, call: call}
	if n == 0 {
		c.finish()
	}
	return c
}

func (c *countdown) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left == 0 {
		c.finishLocked()
	}
}

func (c *countdown) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finishLocked()
}

func (c *countdown) finishLocked() {
	if c.call != nil {
		c.call()
		c.call = nil
	}
}
