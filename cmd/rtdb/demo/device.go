package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"syscall"
	"time"

	"rtdb/transport/client"
)

const (
	online  = "online"
	offline = "offline"

	leavePatience = 3 * time.Second // for the last write of a device
)

// A device is a simulated device with a connection of its own. It has a state, which its
// will sets to offline, sends a heartbeat now and then, and obeys commands.
type device struct {
	fleet  *FleetOptions
	counts *counts
	number int
	name   string // such as devices/7; its keys are below, and the client has this name
	walk   *walk

	opened  chan struct{} // has room for one; gets an element if the connection is up
	isOpen  bool          // belongs to onState
	hasWill bool          // belongs to beat
	failure context.CancelCauseFunc
}

func newDevice(o *FleetOptions, c *counts, number int) *device {
	return &device{
		fleet: o, counts: c, number: number, name: o.Prefix + "/" + strconv.Itoa(number),
		walk: newWalk(o.Seed, uint64(number), 15, 45), opened: make(chan struct{}, 1),
	}
}

// A beat is the value of a device's reading.
type beat struct {
	reading
	Battery int `json:"battery"` // percent
}

// run runs the device until ctx ends, or an error comes that does not pass. It calls began
// when the device was connected and online for the first time.
func (d *device) run(ctx context.Context, began func()) error {
	ctx, d.failure = context.WithCancelCause(ctx)
	defer d.failure(nil)
	dial := d.fleet.Server.dial
	if d.number == d.fleet.First {
		dial = d.fleet.Server.dialSoon
	}
	c, err := dial(ctx, client.WithName(d.name), client.OnState(d.onState))
	if err != nil {
		return d.cause(ctx, err)
	}
	defer c.Close()
	var obeying sync.WaitGroup
	obeying.Go(func() { d.obey(ctx, c) })
	defer obeying.Wait()
	defer d.failure(nil) // it ends obey

	d.beat(ctx, c, began)
	leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), leavePatience)
	defer cancel()
	_, _ = client.Set(leave, c, d.name+"/state", offline) // if it fails, the connection is lost, and the will does it
	return d.cause(ctx, nil)
}

// cause returns why the device has ended: err, or the cause that has ended ctx; nil if the caller
// wanted the end.
func (d *device) cause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		if errors.Is(cause, context.Canceled) {
			return nil
		}
		return cause
	}
	return err
}

// beat writes a reading after each interval, and says that the device is online whenever the
// connection is new.
func (d *device) beat(ctx context.Context, c *client.Client, began func()) {
	value := beat{Battery: 50 + d.number*7%50}
	timer := time.NewTimer(time.Duration(d.walk.random.Int64N(int64(d.fleet.Interval))))
	defer timer.Stop()
	announced := false
	announce := func() {
		if announced = d.announce(ctx, c); announced {
			began()
			began = func() {}
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.opened:
			announce()
		case <-timer.C:
			timer.Reset(time.Duration(float64(d.fleet.Interval) * d.walk.jitter()))
			if !announced { // the server was too busy
				announce()
			}
			value.Celsius = d.walk.next()
			if value.N++; value.N%100 == 0 {
				value.Battery = (value.Battery + 100) % 101 // one percent less, and full again after 0
			}
			if d.set(ctx, c, "reading", value) {
				d.counts.readings.Add(1)
			}
		}
	}
}

// announce leaves the will, and then writes the state that the will is to end. If the will
// of an earlier connection was carried out, the state is offline.
func (d *device) announce(ctx context.Context, c *client.Client) bool {
	if !d.hasWill {
		_, err := c.Will(ctx, client.Will{Key: d.name + "/state", Value: offline})
		if d.hasWill = d.check(ctx, err); !d.hasWill {
			return false
		}
	}
	return d.set(ctx, c, "state", online)
}

// set writes a key of the device, and reports whether that was successful.
func (d *device) set(ctx context.Context, c *client.Client, name string, value any) bool {
	_, err := client.Set(ctx, c, d.name+"/"+name, value)
	return d.check(ctx, err)
}

// check reports whether a request was successful. An error that does not pass ends the
// device.
func (d *device) check(ctx context.Context, err error) bool {
	switch {
	case err == nil:
		return true
	case ctx.Err() != nil:
	case isPassing(err):
		d.counts.failed.Add(1)
		d.counts.note(err)
	default:
		d.failure(err)
	}
	return false
}

// A command is the value that a page writes to a device's command key.
type command struct {
	Lamp string `json:"lamp"`
}

// An answer says which command the device has obeyed last, or has refused.
type answer struct {
	Lamp    string `json:"lamp"`
	Command uint64 `json:"command"` // the version of the command's key
	Error   string `json:"error,omitempty"`
}

// obey answers each command, also the one that is there when the device starts.
func (d *device) obey(ctx context.Context, c *client.Client) {
	lamp := "off"
	for change, err := range client.Watch[json.RawMessage](ctx, c, d.name+"/command") {
		if err != nil {
			if ctx.Err() == nil {
				d.failure(fmt.Errorf("watch %q: %w", d.name+"/command", err))
			}
			return
		}
		if change.Deleted {
			continue
		}
		var order command
		reply := answer{Command: change.Version}
		if err := json.Unmarshal(change.Value, &order); err == nil && (order.Lamp == "on" || order.Lamp == "off") {
			lamp = order.Lamp
		} else {
			reply.Error = `expected {"lamp":"on"} or {"lamp":"off"}`
		}
		reply.Lamp = lamp
		if d.set(ctx, c, "lamp", reply) {
			d.counts.commands.Add(1)
		}
	}
}

// onState counts the connection. The client calls it for each new state.
func (d *device) onState(s client.State, reason error) {
	if isOpen := s == client.Open; isOpen != d.isOpen {
		d.isOpen = isOpen
		if isOpen {
			d.counts.online.Add(1)
		} else {
			d.counts.online.Add(-1)
		}
	}
	switch {
	case s == client.Open:
		select {
		case d.opened <- struct{}{}:
		default:
		}
	case reason == nil, reason == client.ErrClosed: // the device itself has closed it
	case s == client.Closed, errors.Is(reason, syscall.EMFILE), errors.Is(reason, syscall.ENFILE):
		d.failure(reason)
	default:
		d.counts.note(reason)
	}
}
