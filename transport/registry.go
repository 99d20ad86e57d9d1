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
	names    map[clientName]*client    // the newest client of each name
	awaited  map[*client]chan struct{} // closed when the client has left
	past     total                     // of clients that have left
}

func newRegistry(limit int, crowded func() bool) *registry {
	return &registry{
		limit: limit, crowded: crowded,
		clients: make(map[clientID]*client), names: make(map[clientName]*client), awaited: make(map[*client]chan struct{}),
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

// replaceTimeout is how long a client that is replaced may still take its waiting
// messages and the close frame. Its link may be dead, and the newer client waits.
const replaceTimeout = 2 * time.Second

// replace gives a client its name. If an older client has the name, replace ends it, and
// waits until it has left: then its wills are written. If ctx ends first, replace
// returns the cause.
func (g *registry) replace(ctx context.Context, c *client, name clientName) error {
	older, left, err := g.rename(c, name)
	if older == nil || err != nil {
		return err
	}
	older.session.Close(errReplaced)
	cut := time.AfterFunc(replaceTimeout, func() { older.link.abort(errReplaced) })
	defer cut.Stop()
	select {
	case <-left:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// rename gives a client its name. It returns the client that has had the name, nil if
// there is none, and a channel that is closed when that client has left. It refuses a
// client that is ending.
func (g *registry) rename(c *client, name clientName) (older *client, left <-chan struct{}, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	older = g.names[name]
	switch {
	case g.awaited[c] != nil || c.session.Ending():
		// A newer client waits for c. If c waited for it in turn, neither would end.
		return nil, nil, errEnding
	case older == c:
		return nil, nil, nil
	}
	g.unnameLocked(c)
	g.names[name] = c
	c.name.Store(&name)
	if older == nil {
		return nil, nil, nil
	}
	if g.awaited[older] == nil {
		g.awaited[older] = make(chan struct{})
	}
	return older, g.awaited[older], nil
}

// unname takes the name from a client.
func (g *registry) unname(c *client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unnameLocked(c)
}

// unnameLocked takes the name from a client, unless a newer client has it. The client's
// log still shows it.
func (g *registry) unnameLocked(c *client) {
	if name := c.name.Load(); name != nil && g.names[*name] == c {
		delete(g.names, *name)
	}
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
	g.hangUp(ctx, webSocketClient)
	g.open[webSocketClient].Wait()
	g.mu.Lock()
	g.closing = true
	g.mu.Unlock()
	g.hangUp(ctx, eventClient)
}

// Up to spreadFrom clients are hung up on at once. More are spread, spreadEach for each
// of them, but over no more than spreadShare of the time that is left, so that they do
// not all reconnect at once, to this server or another.
const (
	spreadFrom  = 100
	spreadEach  = 2 * time.Millisecond
	spreadShare = 0.6
)

// hangUp ends the clients of a kind, in random order.
func (g *registry) hangUp(ctx context.Context, kind clientKind) {
	var leaving []*client
	g.each(func(c *client) {
		if c.kind == kind {
			leaving = append(leaving, c)
		}
	})
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
		calls.Go(func() { c.link.hangUp(errRestart) })
	}
	calls.Wait()
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
