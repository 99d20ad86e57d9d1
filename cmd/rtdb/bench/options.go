package bench

import (
	"fmt"
	"math"
	"net/url"
	"time"
)

// DefaultPatience is how long nothing may arrive, once all is written, before
// what is missing is lost.
const DefaultPatience = 10 * time.Second

const (
	most        = 1_000_000
	largestSize = 16 << 20
	longest     = 24 * time.Hour // the time in a value has an end, see value.go
)

// Options say what to do. Those that Validate asks for must be set.
type Options struct {
	URL   string // of the server, http, https, ws or wss; without a path that of the WebSocket
	Token string // sent as a bearer token (RFC 6750) where it is not empty

	Subscribers   int     // clients
	Keys          int     // keys written to
	Subscriptions int     // keys of each subscriber; 0, or more than there are, is all
	Publishers    int     // connections that write; no more than Keys are used
	Rate          float64 // writes a second, of all publishers; 0 is as fast as all subscribers keep up
	Size          int     // bytes of a value
	Duration      time.Duration

	ConnectionsPerSecond float64 // 0 is as fast as possible
	Slow                 float64 // share of the subscribers that read slowly, 0 to 1

	// Patience is DefaultPatience where it is 0.
	Patience time.Duration
	// OnProgress, if not nil, is called each second, from one goroutine.
	OnProgress func(Progress)
}

// Validate says what makes no sense, by the names of the flags of rtdb bench.
func (o Options) Validate() error {
	if _, err := o.target(); err != nil {
		return err
	}
	for _, n := range []struct {
		flag     string
		value    int
		low, top int
	}{
		{"subscribers", o.Subscribers, 0, most},
		{"keys", o.Keys, 1, most},
		{"subscriptions", o.Subscriptions, 0, math.MaxInt},
		{"publishers", o.Publishers, 1, most},
		{"size", o.Size, smallestSize, largestSize},
	} {
		switch {
		case n.value < n.low && n.top == math.MaxInt:
			return fmt.Errorf("--%s: expected no less than %d but got %d", n.flag, n.low, n.value)
		case n.value < n.low, n.value > n.top:
			return fmt.Errorf("--%s: expected %d to %d but got %d", n.flag, n.low, n.top, n.value)
		}
	}
	switch {
	case !(o.Rate >= 0 && o.Rate <= 1e9):
		return fmt.Errorf("--rate: expected 0 to 1000000000 but got %v", o.Rate)
	case !(o.ConnectionsPerSecond >= 0 && o.ConnectionsPerSecond <= 1e9):
		return fmt.Errorf("--connections-per-second: expected 0 to 1000000000 but got %v", o.ConnectionsPerSecond)
	case o.Duration <= 0 || o.Duration > longest:
		return fmt.Errorf("--duration: expected more than 0s and no more than %v but got %v", longest, o.Duration)
	case !(o.Slow >= 0 && o.Slow <= 1):
		return fmt.Errorf("--slow: expected 0 to 1, or 0%% to 100%%, but got %v", o.Slow)
	}
	return nil
}

// target returns the WebSocket's address.
func (o Options) target() (*url.URL, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("--url: expected one like http://localhost:8080 or ws://localhost:8080/ws but got %q", o.URL)
	}
	switch u.Scheme {
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	case "ws", "wss":
	default:
		return nil, fmt.Errorf("--url: expected http, https, ws or wss but got %q", o.URL)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/ws"
	}
	return u, nil
}

// settled returns the options with what follows from one another.
func (o Options) settled() Options {
	if o.Subscriptions == 0 || o.Subscriptions > o.Keys {
		o.Subscriptions = o.Keys
	}
	o.Publishers = min(o.Publishers, o.Keys) // a key has one publisher
	if o.Patience == 0 {
		o.Patience = DefaultPatience
	}
	return o
}
