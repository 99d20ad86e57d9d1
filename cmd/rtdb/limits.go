package main

import (
	"fmt"
	"math"
	"time"
)

// limitFlags bound the resources that clients may take.
type limitFlags struct {
	MaxSessions      int           `default:"0" env:"MAX_SESSIONS" help:"WebSockets and event streams. 0 is the limit of open files, less 100."`
	MaxSubscriptions int           `default:"10000" env:"MAX_SUBSCRIPTIONS" help:"Subscriptions of a session."`
	MaxRequestRate   float64       `default:"0" env:"MAX_REQUEST_RATE" help:"Requests a second of a session, a token or an address. 0 is no limit."`
	MaxKeys          int           `default:"0" env:"MAX_KEYS" help:"Keys that have a value. 0 is no limit."`
	MaxValueBytes    int           `default:"65536" env:"MAX_VALUE_BYTES" help:"Bytes of a value."`
	MaxPendingBytes  int           `default:"1048576" env:"MAX_PENDING_BYTES" help:"Bytes of topic messages that wait for a session."`
	HeaderTimeout    time.Duration `default:"5s" env:"HEADER_TIMEOUT" help:"Time to receive the header of a request."`
	IdleTimeout      time.Duration `default:"60s" env:"IDLE_TIMEOUT" help:"Time between two requests on a connection."`
	MessageTimeout   time.Duration `default:"10s" env:"MESSAGE_TIMEOUT" help:"Time to receive a WebSocket message, from its first byte to its last."`
}

func (f *limitFlags) check() error {
	const highest = 1 << 30
	for _, x := range []struct {
		flag, variable string
		value, lowest  int
	}{
		{"max-value-bytes", "MAX_VALUE_BYTES", f.MaxValueBytes, 1},
		{"max-sessions", "MAX_SESSIONS", f.MaxSessions, 0},
		{"max-subscriptions", "MAX_SUBSCRIPTIONS", f.MaxSubscriptions, 1},
		{"max-keys", "MAX_KEYS", f.MaxKeys, 0},
		{"max-pending-bytes", "MAX_PENDING_BYTES", f.MaxPendingBytes, 1},
	} {
		if x.value < x.lowest || x.value > highest {
			return fmt.Errorf("--%s ($%s): expected %d to %d but got %d", x.flag, x.variable, x.lowest, highest, x.value)
		}
	}
	if r := f.MaxRequestRate; math.IsNaN(r) || r < 0 || r > highest {
		return fmt.Errorf("--max-request-rate ($MAX_REQUEST_RATE): expected 0 to %d but got %v", highest, r)
	}
	for _, x := range []struct {
		flag, variable string
		value          time.Duration
	}{
		{"header-timeout", "HEADER_TIMEOUT", f.HeaderTimeout},
		{"idle-timeout", "IDLE_TIMEOUT", f.IdleTimeout},
		{"message-timeout", "MESSAGE_TIMEOUT", f.MessageTimeout},
	} {
		if x.value < time.Millisecond {
			return fmt.Errorf("--%s ($%s): expected no less than 1ms but got %v", x.flag, x.variable, x.value)
		}
	}
	return nil
}

// otherFiles is the number of open files that are not sessions: listeners, REST
// requests and the log.
const otherFiles = 100

// sessions returns the limit of sessions, or 0 if there is no limit.
func (f *limitFlags) sessions() int {
	if f.MaxSessions > 0 {
		return f.MaxSessions
	}
	files := maxFiles()
	if files == 0 || files > math.MaxInt32 {
		return 0
	}
	return max(1, int(files)-otherFiles)
}
