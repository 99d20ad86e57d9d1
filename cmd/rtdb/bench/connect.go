package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	// workers is how many connections are opened, or closed, at once.
	workers = 64

	// idleTime is how long the server may take to come to rest before its
	// memory is looked at.
	idleTime = 200 * time.Millisecond

	closeTimeout = 5 * time.Second
)

// connect opens all connections and has the subscribers subscribe. It fails
// where one of them does.
func (b *bench) connect(ctx context.Context) error {
	if err := b.findServer(ctx); err != nil {
		return err
	}
	b.usage.before()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	begin := time.Now()
	all := len(b.publishers) + len(b.subscribers)
	next := make(chan int)
	var opening sync.WaitGroup
	for range min(workers, all) {
		opening.Go(func() {
			for i := range next {
				if err := b.open(ctx, i); err != nil {
					cancel(err) // the first counts
				}
			}
		})
	}
	b.hand(ctx, begin, all, next)
	opening.Wait()
	if ctx.Err() != nil {
		return fmt.Errorf("%d of %d connected: %w", b.connected.Load(), all, causeOf(ctx))
	}
	if b.usage.process != nil {
		select {
		case <-ctx.Done():
			return causeOf(ctx)
		case <-time.After(idleTime):
		}
	}
	b.usage.idle()
	b.start = time.Now()
	b.watching.Store(int64(len(b.subscribers)))
	b.writing.Store(int64(len(b.publishers)))
	for _, s := range b.subscribers {
		b.receiving.Go(s.receive)
	}
	for _, p := range b.publishers {
		b.receiving.Go(p.receive)
	}
	return nil
}

// causeOf is why the context has ended.
func causeOf(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return errInterrupted
}

// findServer looks for the server's process. That nothing answers at its
// address is found out here, before anything else.
func (b *bench) findServer(ctx context.Context) error {
	u, err := b.options.target()
	if err != nil {
		return err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"ws": "80", "wss": "443"}[u.Scheme]
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return fmt.Errorf("cannot connect: %w", err)
	}
	defer c.Close()
	addr, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok || !isLocal(addr.IP) {
		b.usage.unseen = "not on this machine"
		return nil
	}
	b.usage.process, b.usage.unseen = findListener(addr.AddrPort())
	return nil
}

// isLocal says whether an address is this machine's.
func isLocal(ip net.IP) bool {
	if ip.IsLoopback() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(addrs, func(a net.Addr) bool {
		network, ok := a.(*net.IPNet)
		return ok && network.IP.Equal(ip)
	})
}

// hand hands out the connections to open, at their rate.
func (b *bench) hand(ctx context.Context, begin time.Time, all int, next chan<- int) {
	defer close(next)
	for i := range all {
		if rate := b.options.ConnectionsPerSecond; rate > 0 {
			due := begin.Add(time.Duration(float64(i) / rate * 1e9))
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Until(due)):
			}
		}
		select {
		case <-ctx.Done():
			return
		case next <- i:
		}
	}
}

// open opens the ith connection, first of the publishers, then of the
// subscribers.
func (b *bench) open(ctx context.Context, i int) error {
	if i < len(b.publishers) {
		l, err := b.dialer.dial(ctx, false)
		if err != nil {
			return err
		}
		b.publishers[i].link = l
		b.connected.Add(1)
		return nil
	}
	s := b.subscribers[i-len(b.publishers)]
	l, err := b.dialer.dial(ctx, s.slow)
	if err != nil {
		return err
	}
	s.link = l
	if err := s.subscribe(ctx); err != nil {
		return err
	}
	b.connected.Add(1)
	return nil
}

// close ends the subscribers, has the publishers delete the keys, and ends
// them. It may be called more than once.
func (b *bench) close() {
	if b.closing.Swap(true) {
		return
	}
	b.phase.Store(phaseCleaning)
	var links []*link
	for _, s := range b.subscribers {
		if s.link != nil {
			links = append(links, s.link)
		}
	}
	closeAll(links)
	links = nil
	var removing sync.WaitGroup
	var left sync.Map
	for _, p := range b.publishers {
		if p.link == nil {
			continue
		}
		links = append(links, p.link)
		removing.Go(func() {
			if !p.remove() {
				left.Store(p, true)
			}
		})
	}
	removing.Wait()
	left.Range(func(any, any) bool { b.leftOver = true; return false })
	closeAll(links)
	b.receiving.Wait()
}

// closeAll takes leave on all links, and cuts those that take too long.
func closeAll(links []*link) {
	cut := time.AfterFunc(closeTimeout, func() {
		for _, l := range links {
			l.cut()
		}
	})
	defer cut.Stop()
	var closing sync.WaitGroup
	for worker := range workers {
		closing.Go(func() {
			for i := worker; i < len(links); i += workers {
				_ = links[i].ws.Close(1000, "") // it may have ended
			}
		})
	}
	closing.Wait()
}
