package socket

import (
	"context"
	"sync"
	"time"
)

// PingInterval is the time between two pings.
const PingInterval = 25 * time.Second

// A Pinger pings a connection's client every PingInterval. The zero value does
// nothing until Start.
type Pinger struct {
	conn *Conn
	lost func()

	mu      sync.Mutex
	timer   *time.Timer // nil before Start and after Stop
	running sync.WaitGroup
}

// Start begins to ping. lost is called, once, if the client shows no sign of life;
// it must not block.
func (p *Pinger) Start(c *Conn, lost func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn, p.lost = c, lost
	p.timer = time.AfterFunc(PingInterval, p.ping)
}

// Stop ends the pinging. Wait waits until a ping that has begun is over.
func (p *Pinger) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

// Wait comes after Stop. A ping ends when the connection does.
func (p *Pinger) Wait() { p.running.Wait() }

func (p *Pinger) ping() {
	p.mu.Lock()
	if p.timer == nil {
		p.mu.Unlock()
		return
	}
	p.running.Add(1)
	p.mu.Unlock()
	defer p.running.Done()

	if !p.conn.alive() {
		p.lost()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Reset(PingInterval)
	}
}

// alive reports whether the client shows a sign of life. It pings the client and
// waits for the pong for PongTimeout.
//
// A client that is being written to shows that it lives by taking bytes, which
// Write observes; a ping would only wait behind them. A pong that was not read yet,
// because the reader is busy with earlier requests, is not missing.
func (c *Conn) alive() bool {
	return c.wire.busy() || c.answersPing() || c.wire.busy() || !c.wire.quiet()
}

// answersPing reports whether the client answers a ping, or has gone for another
// reason, which the reader finds.
func (c *Conn) answersPing() bool {
	ctx, cancel := context.WithTimeout(context.Background(), PongTimeout)
	defer cancel()
	return c.ws.Ping(ctx) == nil || ctx.Err() == nil
}
