package transport

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"rtdb/session"
)

// A registry knows the clients that are connected. It limits their number, finds
// and counts them, and drains them at a shutdown.
type registry struct {
	limit   int         // 0: no limit
	crowded func() bool // memory is short; may be nil

	open [clientKinds]sync.WaitGroup // clients from reserve to release

	mu       sync.Mutex
	draining bool // nothing new is accepted
	closing  bool // event streams end, too
	reserved int  // clients from reserve to release
	clients  map[clientID]*client
	names    map[clientName]claim                // the newest client of each name
	taking   map[*client]context.CancelCauseFunc // end the calls of Options.Takeover
	awaited  map[*client]chan struct{}           // closed when the client has left
	past     total                               // of clients that have left
	stale    time.Time                           // since when the state may be old; zero: it is current
}

func newRegistry(limit int, crowded func() bool) *registry {
	return &registry{
		limit: limit, crowded: crowded,
		clients: make(map[clientID]*client), names: make(map[clientName]claim),
		taking: make(map[*client]context.CancelCauseFunc), awaited: make(map[*client]chan struct{}),
	}
}

// reserve takes a place for a client that is about to connect, or returns why there
// is none. release gives the place back.
func (g *registry) reserve(kind clientKind) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.draining:
		return errDraining
	case g.limit > 0 && g.reserved >= g.limit:
		return tooManyClients("the server has its maximum of %d sessions", g.limit)
	case g.crowded != nil && g.crowded():
		return tooManyClients("the server has no memory left for another session")
	}
	g.reserved++
	g.open[kind].Add(1)
	return nil
}

func tooManyClients(format string, args ...any) error {
	f := refuse(codeLimitReached, format, args...)
	f.status = http.StatusServiceUnavailable
	f.retry = time.Second + rand.N(9*time.Second) // so that they do not all come back at once
	return f
}

func (g *registry) release(kind clientKind) {
	g.mu.Lock()
	g.reserved--
	g.mu.Unlock()
	g.open[kind].Done()
}

// add registers a client that has connected.
func (g *registry) add(c *client) {
	g.mu.Lock()
	late := g.closing || g.draining && c.kind == webSocketClient
	g.clients[c.id] = c
	g.mu.Unlock()
	if late { // it was connecting when the drain began
		c.link.hangUp(errRestart)
	}
}

// remove forgets a client and keeps its counts.
func (g *registry) remove(c *client, stats session.Stats) {
	sent := c.link.sent()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.clients, c.id)
	g.unnameLocked(c)
	if left, ok := g.awaited[c]; ok {
		delete(g.awaited, c)
		close(left)
	}
	g.past.add(stats, sent)
}

// awaitLocked returns a channel that is closed when a client that is being ended has left.
func (g *registry) awaitLocked(c *client) <-chan struct{} {
	if end := g.taking[c]; end != nil {
		end(errEnding)
	}
	if left := g.awaited[c]; left != nil {
		return left
	}
	left := make(chan struct{})
	if g.clients[c.id] == c {
		g.awaited[c] = left
	} else {
		close(left)
	}
	return left
}

// find returns a client by its id, nil if there is none.
func (g *registry) find(id clientID) *client {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.clients[id]
}

// each calls f for each client, and returns the sums of those that have left. f
// must not block.
func (g *registry) each(f func(*client)) (past total) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.clients {
		f(c)
	}
	return g.past
}

func (g *registry) len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.clients)
}

func (g *registry) isDraining() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.draining
}

// drain accepts no new clients, hangs up on the WebSockets, waits until they have gone,
// and hangs up on the event streams. When ctx ends it hurries, but still waits for the
// WebSockets, which abortAll cuts off.
func (g *registry) drain(ctx context.Context) {
	g.mu.Lock()
	g.draining = true
	g.mu.Unlock()
	g.hangUp(ctx, g.ofKind(webSocketClient), errRestart)
	g.open[webSocketClient].Wait()
	g.mu.Lock()
	g.closing = true
	g.mu.Unlock()
	g.hangUp(ctx, g.ofKind(eventClient), errRestart)
}

// Up to spreadFrom clients are hung up on at once. More are spread, spreadEach for each
// of them, but over no more than spreadShare of the time that is left, so that they do
// not all reconnect at once, to this server or another.
const (
	spreadFrom  = 100
	spreadEach  = 2 * time.Millisecond
	spreadShare = 0.6
)

// ofKind returns the clients of a kind.
func (g *registry) ofKind(kind clientKind) (clients []*client) {
	g.each(func(c *client) {
		if c.kind == kind {
			clients = append(clients, c)
		}
	})
	return clients
}

// hangUp ends clients, in random order.
func (g *registry) hangUp(ctx context.Context, leaving []*client, cause error) {
	rand.Shuffle(len(leaving), func(i, j int) { leaving[i], leaving[j] = leaving[j], leaving[i] })
	spread := time.Duration(0)
	if n := len(leaving); n > spreadFrom {
		spread = time.Duration(n) * spreadEach
		if deadline, ok := ctx.Deadline(); ok {
			spread = min(spread, time.Duration(spreadShare*float64(time.Until(deadline))))
		}
	}
	start := time.Now()
	var calls sync.WaitGroup
	for i, c := range leaving {
		due := spread * time.Duration(i) / time.Duration(len(leaving))
		if wait := due - time.Since(start); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done(): // those that are left are cut off
			}
		}
		calls.Go(func() { c.link.hangUp(cause) })
	}
	calls.Wait()
}

// endAll ends the clients that are connected now, and waits until they have left: first the
// WebSockets, then the event streams, which get their wills. If ctx ends first, it cuts off
// those that are left, and returns the cause.
func (g *registry) endAll(ctx context.Context, cause error) (err error) {
	for kind := range clientKinds {
		leaving := g.ofKind(kind)
		cut := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			defer close(cut)
			for _, c := range leaving {
				c.link.abort(cause)
			}
		})
		g.hangUp(ctx, leaving, cause)
		for _, c := range leaving {
			select {
			case <-g.await(c):
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		}
		if !stop() {
			<-cut
		}
	}
	return err
}

func (g *registry) await(c *client) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.awaitLocked(c)
}

// abortAll cuts off all clients. It does not wait for them.
func (g *registry) abortAll() {
	g.each(func(c *client) { c.link.abort(errRestart) })
}

// wait waits until all clients have released their places.
func (g *registry) wait() {
	for kind := range g.open {
		g.open[kind].Wait()
	}
}

// A total is the sum of the counts of sessions.
type total struct {
	session.Stats
	bytes uint64
}

func (t *total) add(stats session.Stats, bytes uint64) {
	t.Delivered += stats.Delivered
	t.Conflated += stats.Conflated
	t.Missed += stats.Missed
	t.bytes += bytes
}

// inform tells a client from now on whether the state is stale, and at once if it is.
func (g *registry) inform(c *client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.informed = true
	if !g.stale.IsZero() {
		c.session.Tell(encodeStaleness(g.stale)[c.kind])
	}
}

// setStale notes since when the state may be old, the zero time if it is current, and tells
// the clients if that has changed. They are told under the lock, which is not long, because
// Tell only queues the notice. So the last notice that a client gets is right.
func (g *registry) setStale(since time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if since.IsZero() == g.stale.IsZero() {
		return
	}
	g.stale = since
	notices := encodeStaleness(since)
	for _, c := range g.clients {
		if c.informed {
			c.session.Tell(notices[c.kind])
		}
	}
}
