package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"rtdb/cmd/rtdb/bench"
)

// A benchCommand measures a server under load, to size a machine.
type benchCommand struct {
	clientFlags          `group:"server"`
	ConnectionsPerSecond float64 `group:"server" default:"1000" help:"Connections opened a second. 0 is no limit."`

	Keys          int           `group:"load" default:"100" help:"Keys to write. They are new, and deleted at the end."`
	Publishers    int           `group:"load" default:"4" help:"Clients that write. Each key has one of them."`
	Rate          float64       `group:"load" default:"1000" help:"Writes a second by all publishers. 0 writes as fast as every subscriber can read."`
	Size          int           `group:"load" default:"64" help:"Bytes of a value, at least 24."`
	Subscribers   int           `group:"load" default:"100" help:"Clients that receive updates."`
	Subscriptions int           `group:"load" default:"1" help:"Keys that each subscriber subscribes to. 0 is all keys."`
	Slow          share         `group:"load" default:"0" help:"Share of the subscribers that read slowly, such as 0.05 or 5%."`
	Duration      time.Duration `group:"load" default:"10s" help:"Time to write."`

	JSON bool `group:"output" name:"json" help:"Print one JSON object instead of a table."`
}

// A share is a part of a whole, from 0 to 1.
type share float64

// UnmarshalText reads 0.05 or 5%.
func (s *share) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(string(text), "%")
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return fmt.Errorf("expected a share like 0.05 or 5%% but got %q", text)
	}
	if percent {
		f /= 100
	}
	*s = share(f)
	return nil
}

func (c *benchCommand) options() bench.Options {
	address, socket := c.address()
	return bench.Options{
		URL: address, Socket: socket, Token: c.Token, Subscribers: c.Subscribers, Keys: c.Keys, Subscriptions: c.Subscriptions,
		Publishers: c.Publishers, Rate: c.Rate, Size: c.Size, Duration: c.Duration,
		ConnectionsPerSecond: c.ConnectionsPerSecond, Slow: float64(c.Slow),
	}
}

// Validate checks the flags. kong calls it after parsing.
func (c *benchCommand) Validate() error {
	if err := c.check(); err != nil {
		return err
	}
	return c.options().Validate()
}

// Run loads the server and prints the report. It also returns an error if the server
// broke its contract, for example if an update was lost.
func (c *benchCommand) Run(s *streams) error {
	ctx, stop := untilSignal() // the first signal ends the measurement
	defer stop()

	o := c.options()
	live := isTerminal(s.err)
	if live {
		o.OnProgress = func(p bench.Progress) { fmt.Fprint(s.err, clearLine, progressLine(p)) }
	}
	report, err := bench.Run(ctx, o)
	if live {
		fmt.Fprint(s.err, clearLine)
	}
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if c.JSON {
		err = json.NewEncoder(s.out).Encode(report)
	} else {
		_, err = report.WriteTo(s.out)
	}
	if err != nil {
		return err
	}
	if err := report.Err(); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

// progressLine formats the progress for a terminal of 80 columns.
func progressLine(p bench.Progress) string {
	line := fmt.Sprintf("%s: %d/%d connected", p.Phase, p.Connected, p.All)
	if p.Elapsed > 0 {
		line = fmt.Sprintf("%3.0fs %.0f writes/s %.0f deliveries/s p99 %.1f ms %d/%d connected",
			p.Elapsed.Seconds(), p.WritesPerSecond, p.DeliveriesPerSecond, float64(p.P99.Microseconds())/1000, p.Connected, p.All)
	}
	return line
}
