package main

import (
	"fmt"
	"math"
	"time"
)

// A limitsConfig says how much of what there may be.
type limitsConfig struct {
	MaxValueBytes    int           `default:"65536" env:"MAX_VALUE_BYTES" help:"Longest value, in bytes."`
	MaxSessions      int           `default:"0" env:"MAX_SESSIONS" help:"WebSockets and event streams. 0 is as many as the limit of open files allows, less 100."`
	MaxSubscriptions int           `default:"10000" env:"MAX_SUBSCRIPTIONS" help:"Subscriptions of a session."`
	MaxKeys          int           `default:"0" env:"MAX_KEYS" help:"Keys that have a value. 0 is no limit."`
	MaxRequestRate   float64       `default:"0" env:"MAX_REQUEST_RATE" help:"Requests a second of a session, and by REST of a token or else an address; twice that in a burst. 0 is no limit."`
	MaxPendingBytes  int           `default:"1048576" env:"MAX_PENDING_BYTES" help:"Bytes of topics' messages that wait for a session."`
	HeaderTimeout    time.Duration `default:"5s" env:"HEADER_TIMEOUT" help:"Longest time for a request's header."`
	IdleTimeout      time.Duration `default:"60s" env:"IDLE_TIMEOUT" help:"Longest time between two requests of a connection."`
	MessageTimeout   time.Duration `default:"10s" env:"MESSAGE_TIMEOUT" help:"Longest time for a WebSocket's message, from its first byte to its last."`
	FlushInterval    time.Duration `default:"2ms" env:"FLUSH_INTERVAL" help:"Shortest time between two writes of updates to a WebSocket, and so the longest that one is held back. 0 holds none back."`
	ShutdownGrace    time.Duration `default:"15s" env:"SHUTDOWN_GRACE" help:"Longest time that a shutdown may take."`
}

func (c *limitsConfig) check() error {
	const most = 1 << 30
	for _, x := range []struct {
		flag, variable string
		value, least   int
	}{
		{"max-value-bytes", "MAX_VALUE_BYTES", c.MaxValueBytes, 1},
		{"max-sessions", "MAX_SESSIONS", c.MaxSessions, 0},
		{"max-subscriptions", "MAX_SUBSCRIPTIONS", c.MaxSubscriptions, 1},
		{"max-keys", "MAX_KEYS", c.MaxKeys, 0},
		{"max-pending-bytes", "MAX_PENDING_BYTES", c.MaxPendingBytes, 1},
	} {
		if x.value < x.least || x.value > most {
			return fmt.Errorf("--%s ($%s): expected %d to %d but got %d", x.flag, x.variable, x.least, most, x.value)
		}
	}
	if r := c.MaxRequestRate; math.IsNaN(r) || r < 0 || r > most {
		return fmt.Errorf("--max-request-rate ($MAX_REQUEST_RATE): expected 0 to %d but got %v", most, r)
	}
	for _, x := range []struct {
		flag, variable string
		value          time.Duration
	}{
		{"header-timeout", "HEADER_TIMEOUT", c.HeaderTimeout},
		{"idle-timeout", "IDLE_TIMEOUT", c.IdleTimeout},
		{"message-timeout", "MESSAGE_TIMEOUT", c.MessageTimeout},
	} {
		if x.value < time.Millisecond {
			return fmt.Errorf("--%s ($%s): expected no less than 1ms but got %v", x.flag, x.variable, x.value)
		}
	}
	switch {
	case c.FlushInterval < 0 || c.FlushInterval > time.Second:
		return fmt.Errorf("--flush-interval ($FLUSH_INTERVAL): expected 0s to 1s but got %v", c.FlushInterval)
	case c.ShutdownGrace < 0:
		return fmt.Errorf("--shutdown-grace ($SHUTDOWN_GRACE): expected no less than 0s but got %v", c.ShutdownGrace)
	}
	return nil
}

// otherFiles are what the server opens besides sessions: listeners, requests by
// REST, the log.
const otherFiles = 100

// sessions is how many there may be.
func (c *limitsConfig) sessions() int {
	if c.MaxSessions > 0 {
		return c.MaxSessions
	}
	files := maxFiles()
	if files == 0 || files > math.MaxInt32 {
		return 0
	}
	return max(1, int(files)-otherFiles)
}
