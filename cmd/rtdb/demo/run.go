package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"rtdb/transport/client"
)

// Options are the settings of [Run].
type Options struct {
	Server   Server
	Sensors  int           // each is written once an interval
	Devices  int           // 1 to 100, or 0: none
	Interval time.Duration // 0 means a second
	Seed     uint64

	// Ready is called once, when the data is there. It must return soon. nil: nothing is
	// called.
	Ready func()
}

// Validate returns an error if an option is wrong.
func (o Options) Validate() error {
	const maxSensors, maxDevices = 10_000, FirstSimulated - 1
	switch {
	case o.Sensors < 0 || o.Sensors > maxSensors:
		return fmt.Errorf("--sensors: expected 0 to %d but got %d", maxSensors, o.Sensors)
	case o.Devices < 0 || o.Devices > maxDevices:
		return fmt.Errorf("--devices: expected 0 to %d but got %d: rtdb simulate adds more", maxDevices, o.Devices)
	}
	return nil
}

// Run writes the data of the demo until ctx ends. It returns an error if the server cannot
// be reached, or refuses something.
func Run(ctx context.Context, o Options) error {
	if o.Interval == 0 {
		o.Interval = time.Second
	}
	c, err := o.Server.dialSoon(ctx)
	if err != nil {
		return leftOr(ctx, err)
	}
	defer c.Close()
	if err := writeContent(ctx, c); err != nil {
		return leftOr(ctx, err)
	}

	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var running, beginning sync.WaitGroup
	beginning.Add(2)
	running.Go(func() {
		if err := writeSensors(ctx, c, newSensors(o.Sensors, o.Seed), o.Interval, beginning.Done); err != nil {
			fail(err)
		}
	})
	fleet := NewFleet(FleetOptions{
		Server: o.Server, Devices: o.Devices, First: 1, Prefix: "devices", Interval: o.Interval, Seed: o.Seed,
		Ready: beginning.Done,
	})
	running.Go(func() {
		if err := fleet.Run(ctx); err != nil {
			fail(err)
		}
	})
	beginning.Wait()
	if o.Ready != nil && ctx.Err() == nil {
		o.Ready()
	}
	running.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// leftOr returns nil if ctx has ended, because the caller wanted the end, and else err.
func leftOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// content are the keys that the pages begin with. They are written only if they do not
// exist.
var content = []struct {
	key   string
	value any
	ttl   time.Duration
}{
	{"document/blocks/00-1", paragraph{"Meeting notes", "rtdb"}, 0},
	{"document/blocks/00-2", paragraph{"Each paragraph is a key of its own. Open this page in a second tab and type in both at once.", "rtdb"}, 0},
	{"document/blocks/00-3", paragraph{"If two people change different words of a paragraph, both changes stay. If they change the same words, both texts stay, one of them in ⟪⟫.", "rtdb"}, 0},
	{"document/blocks/00-4", paragraph{"Cut your connection, go on typing, and watch your text arrive when the connection is back.", "rtdb"}, 0},
	{"chat/lobby/messages/0", message{"rtdb", "Welcome. Messages expire after an hour, because their keys have a time to live."}, time.Hour},
}

// A paragraph is a block of the document.
type paragraph struct {
	Text string `json:"text"`
	By   string `json:"by"`
}

// A message is a line of a chat room.
type message struct {
	From string `json:"from"`
	Text string `json:"text"`
}

func writeContent(ctx context.Context, c *client.Client) error {
	for _, x := range content {
		options := []client.WriteOption{client.IfVersion(0)}
		if x.ttl > 0 {
			options = append(options, client.TTL(x.ttl))
		}
		if _, err := client.Set(ctx, c, x.key, x.value, options...); err != nil && !errors.Is(err, client.ErrVersionMismatch) {
			return err
		}
	}
	return nil
}
