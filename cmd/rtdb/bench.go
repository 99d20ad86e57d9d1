package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"

	"rtdb/cmd/rtdb/bench"
)

// A benchCommand loads a server, for people to size their machine with.
type benchCommand struct {
	URL                  string        `name:"url" default:"http://localhost:8080" help:"Of the server: http, https, ws or wss. Without a path that of the WebSocket."`
	Subscribers          int           `default:"100" help:"Clients that receive."`
	Keys                 int           `default:"100" help:"Keys to write to. They are new ones, and deleted at the end."`
	Subscriptions        int           `default:"1" help:"Keys that each subscriber subscribes to. 0 is all."`
	Publishers           int           `default:"4" help:"Clients that write; no more than keys."`
	Rate                 float64       `default:"1000" help:"Writes a second, by all publishers. 0 is as many as all subscribers keep up with."`
	Size                 int           `default:"64" help:"Bytes of a value, 24 at least."`
	Duration             time.Duration `default:"10s" help:"How long to write."`
	ConnectionsPerSecond float64       `default:"1000" help:"Connections to open in a second. 0 is as many as possible."`
	Slow                 share         `default:"0" help:"Share of the subscribers that read slowly, such as 0.05 or 5%."`
	Token                string        `env:"RTDB_TOKEN" help:"JSON Web Token to authenticate with."`
	JSON                 bool          `name:"json" help:"Print one JSON object and no table."`
}

// A share is a part of one.
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
	return bench.Options{
		URL: c.URL, Token: c.Token, Subscribers: c.Subscribers, Keys: c.Keys, Subscriptions: c.Subscriptions,
		Publishers: c.Publishers, Rate: c.Rate, Size: c.Size, Duration: c.Duration,
		ConnectionsPerSecond: c.ConnectionsPerSecond, Slow: float64(c.Slow),
	}
}

// Validate is called by kong once all settings are known.
func (c *benchCommand) Validate() error { return c.options().Validate() }

// run loads the server and prints the report. The error is what the server did
// that it must not do, too.
func (c *benchCommand) run(stdout io.Writer, stderr *os.File) error {
	// The first signal ends the measuring; after it they do what they always
	// do.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	o := c.options()
	live := isatty.IsTerminal(stderr.Fd())
	if live {
		o.OnProgress = func(p bench.Progress) { fmt.Fprint(stderr, "\r\x1b[K", progressLine(p)) }
	}
	report, err := bench.Run(ctx, o)
	if live {
		fmt.Fprint(stderr, "\r\x1b[K")
	}
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if c.JSON {
		err = json.NewEncoder(stdout).Encode(report)
	} else {
		_, err = report.WriteTo(stdout)
	}
	if err != nil {
		return err
	}
	if err := report.Err(); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

// progressLine is short enough for a terminal of 80 columns.
func progressLine(p bench.Progress) string {
	line := fmt.Sprintf("%s: %d/%d connected", p.Phase, p.Connected, p.All)
	if p.Elapsed > 0 {
		line = fmt.Sprintf("%3.0fs %.0f writes/s %.0f deliveries/s p99 %.1f ms %d/%d connected",
			p.Elapsed.Seconds(), p.WritesPerSecond, p.DeliveriesPerSecond, float64(p.P99.Microseconds())/1000, p.Connected, p.All)
	}
	return line
}
