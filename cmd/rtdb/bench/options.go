package bench

import (
	"fmt"
	"math"
	"net/url"
	"time"
)

// DefaultPatience is the Patience of Options that do not set one.
const DefaultPatience = 10 * time.Second

const (
	maxClients  = 1_000_000
	maxKeys     = 1_000_000
	maxSize     = 16 << 20
	maxRate     = 1e9
	maxDuration = 24 * time.Hour // well below the 78 hours that dueDigits can express
)

// Options describe a run. URL, Keys, Publishers, Size and Duration must be set; the
// zero value of every other field is valid.
type Options struct {
	URL    string // address of the server: http, https, ws or wss; the default path is /ws
	Socket string // path of the Unix socket to connect to; empty means the address in URL
	Token  string // bearer token (RFC 6750) to authenticate with, if not empty

	Subscribers   int     // number of clients that receive
	Keys          int     // number of keys to write
	Subscriptions int     // number of keys for each subscriber; 0 means all keys
	Publishers    int     // number of clients that write; at most Keys of them are used
	Rate          float64 // writes per second of all publishers; 0 means as fast as the subscribers read
	Size          int     // bytes of a value, including its quotes
	Duration      time.Duration

	ConnectionsPerSecond float64 // connections to open in a second; 0 means no limit
	Slow                 float64 // share of the subscribers that read slowly, 0 to 1

	// Patience is how long the run waits for a server that sends nothing: for the
	// last updates, for a reply, and for room to write. After that, updates that are
	// missing count as lost. 0 means DefaultPatience.
	Patience time.Duration

	// OnProgress, if not nil, is called every second, always from the same goroutine.
	// Run waits for the call to return before it returns itself.
	OnProgress func(Progress)
}

// Validate returns an error that names the first invalid field by its flag of the
// command rtdb bench, or nil.
func (o Options) Validate() error {
	if _, err := o.webSocketURL(); err != nil {
		return err
	}
	for _, n := range []struct {
		flag     string
		value    int
		low, top int
	}{
		{"subscribers", o.Subscribers, 0, maxClients},
		{"keys", o.Keys, 1, maxKeys},
		{"subscriptions", o.Subscriptions, 0, math.MaxInt},
		{"publishers", o.Publishers, 1, maxClients},
		{"size", o.Size, minSize, maxSize},
	} {
		switch {
		case n.value < n.low && n.top == math.MaxInt:
			return fmt.Errorf("--%s: expected no less than %d but got %d", n.flag, n.low, n.value)
		case n.value < n.low, n.value > n.top:
			return fmt.Errorf("--%s: expected %d to %d but got %d", n.flag, n.low, n.top, n.value)
		}
	}
	// The conditions are negated because every comparison with NaN is false.
	switch {
	case !(o.Rate >= 0 && o.Rate <= maxRate):
		return fmt.Errorf("--rate: expected 0 to %.0f but got %v", float64(maxRate), o.Rate)
	case !(o.ConnectionsPerSecond >= 0 && o.ConnectionsPerSecond <= maxRate):
		return fmt.Errorf("--connections-per-second: expected 0 to %.0f but got %v", float64(maxRate), o.ConnectionsPerSecond)
	case o.Duration <= 0 || o.Duration > maxDuration:
		return fmt.Errorf("--duration: expected more than 0s and no more than %v but got %v", maxDuration, o.Duration)
	case !(o.Slow >= 0 && o.Slow <= 1):
		return fmt.Errorf("--slow: expected 0 to 1, or 0%% to 100%%, but got %v", o.Slow)
	}
	return nil
}

// webSocketURL returns the address of the server's WebSocket.
func (o Options) webSocketURL() (*url.URL, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("--url ($RTDB_URL): expected an address like http://localhost:8080 or ws://localhost:8080/ws but got %q", o.URL)
	}
	switch u.Scheme {
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	case "ws", "wss":
	default:
		return nil, fmt.Errorf("--url ($RTDB_URL): expected http, https, ws or wss but got %q", o.URL)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/ws"
	}
	return u, nil
}

// normalized returns the options with defaults filled in and numbers that exceed
// the number of keys reduced to it.
func (o Options) normalized() Options {
	if o.Subscriptions == 0 || o.Subscriptions > o.Keys {
		o.Subscriptions = o.Keys
	}
	o.Publishers = min(o.Publishers, o.Keys) // a key has one publisher
	if o.Patience == 0 {
		o.Patience = DefaultPatience
	}
	return o
}
