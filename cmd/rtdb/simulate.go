package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"rtdb/cmd/rtdb/demo"
)

// A simulateCommand runs simulated devices.
type simulateCommand struct {
	clientFlags `group:"server"`
	Devices     int           `group:"devices" default:"1000" help:"Devices, each with a connection of its own."`
	First       int           `group:"devices" default:"101" help:"Number of the first device. Two programs must not run the same devices."`
	Prefix      string        `group:"devices" default:"devices" help:"Prefix of the keys: device 7 has devices/7/state."`
	Interval    time.Duration `group:"devices" default:"1s" help:"Time between two readings of a device, on average."`
	Seed        uint64        `group:"devices" default:"1" help:"Start of the random values. The same seed gives the same values."`
	logFlags    `group:"logging"`
}

// ownFiles is the number of open files that are not connections of devices.
const ownFiles = 20

// AfterApply checks the flags.
func (c *simulateCommand) AfterApply() error {
	if err := c.clientFlags.check(); err != nil {
		return err
	}
	return c.options().Validate()
}

func (c *simulateCommand) options() demo.FleetOptions {
	url, socket := c.address()
	return demo.FleetOptions{
		Server:  demo.Server{URL: url, Socket: socket, Token: c.Token},
		Devices: c.Devices, First: c.First, Prefix: c.Prefix, Interval: c.Interval, Seed: c.Seed,
	}
}

// Run runs the devices until a signal comes.
func (c *simulateCommand) Run(s *streams) error {
	if files := maxFiles(); files > 0 && files < math.MaxInt64 && int(files) < c.Devices+ownFiles {
		return fmt.Errorf("simulate: %d devices need %d open files, but the limit is %d: raise it with ulimit -n %d, or lower --devices",
			c.Devices, c.Devices+ownFiles, files, c.Devices+ownFiles)
	}
	ctx, stop := untilSignal() // the first signal ends the devices gracefully
	defer stop()
	log, err := c.logger(s.err)
	if err != nil {
		return err
	}
	defer log.queue.close(logGrace)

	o := c.options()
	var fleet *demo.Fleet
	o.Ready = func() {
		if status := fleet.Status(); status.Online == status.Devices {
			log.Info().Int("devices", status.Devices).Str("server", o.Server.URL).Msg("devices online")
		}
	}
	fleet = demo.NewFleet(o)
	ended := make(chan error, 1)
	go func() { ended <- fleet.Run(ctx) }()
	err = c.watch(ctx, fleet, log, ended)
	if log.progress != nil {
		log.progress.show("")
	}
	if err != nil {
		return fmt.Errorf("simulate: %w", explainClient(err))
	}
	status := fleet.Status()
	log.Info().Int("devices", status.Devices).Uint64("readings", status.Readings).Uint64("commands", status.Commands).Msg("devices ended")
	return nil
}

// watch shows how the fleet is doing until it has ended, and returns its error: each second
// on a terminal, and else each 10 s in the log.
func (c *simulateCommand) watch(ctx context.Context, fleet *demo.Fleet, log serverLog, ended <-chan error) error {
	pause := 10 * time.Second
	if log.progress != nil {
		pause = time.Second
	}
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-ticker.C:
		}
		status := fleet.Status()
		if log.progress != nil && ctx.Err() == nil {
			log.progress.show(status.String())
			continue
		}
		e := log.Info()
		if status.Trouble != nil {
			e = log.Warn().AnErr("error", status.Trouble)
		}
		e.Int("devices", status.Devices).Int("online", status.Online).Uint64("readings", status.Readings).
			Uint64("commands", status.Commands).Uint64("failed", status.Failed).Msg("devices running")
	}
}
