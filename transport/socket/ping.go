package socket

import (
	"sync"
	"time"
)

// PingInterval is the time between two pings.
const PingInterval = 25 * time.Second

// A Pinger pings a connection's client every PingInterval. The zero value does
// nothing until Start.
//
// It does not use the library's Ping, which needs a goroutine that waits for the pong: with 8000
// idle clients a ping took 80 to 100 µs of CPU.
type Pinger struct {
	conn *Conn
	lost func()

	mu     sync.Mutex
	timer  *time.Timer // nil before Start and after Stop
	pinged bool        // PongTimeout runs
}

// Start begins to ping. lost is called, once, if the client shows no sign of life;
// it must not block.
func (p *Pinger) Start(c *Conn, lost func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn, p.lost = c, lost
	p.timer = time.AfterFunc(PingInterval, p.beat)
}

// Stop ends the pinging. lost may still be being called.
func (p *Pinger) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

func (p *Pinger) beat() {
	if !p.next() {
		p.lost()
	}
}

// next pings, or looks for the pong. It reports false if the client is lost.
func (p *Pinger) next() (alive bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.timer == nil: // stopped
	case p.pinged && !p.conn.alive():
		return false
	case p.pinged:
		p.pinged = false
		p.timer.Reset(PingInterval - PongTimeout)
	case p.conn.ping():
		p.pinged = true
		p.timer.Reset(PongTimeout)
	default:
		p.timer.Reset(PingInterval)
	}
	return true
}

// pingFrame is a ping without a payload (RFC 6455, section 5.5.2).
var pingFrame = []byte{0x89, 0}

// ping pings the client. It reports false if it does not: the WebSocket is being closed, or the
// client is being written to. Such a client shows that it lives by taking bytes, which Write
// observes; a ping would only wait behind them.
func (c *Conn) ping() bool {
	w := &c.wire
	if w.busy() || w.ends() {
		return false
	}
	w.ponged.Store(false)
	w.queueControl(pingFrame, func(c *control) *[]byte { return &c.ping })
	return true
}

// alive reports whether the client has shown a sign of life since the last ping. A pong that was
// not read yet, because the reader is busy with earlier requests, is not missing.
func (c *Conn) alive() bool {
	return c.wire.ponged.Load() || c.wire.busy() || !c.wire.quiet()
}
