package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

const (
	// workers is the number of connections that are opened, pinged or closed at once.
	workers = 64

	// idleTime is the time between the last handshake and the measurement of the
	// server's memory. The server becomes idle in it.
	idleTime = 200 * time.Millisecond

	closeTimeout = 5 * time.Second
)

var errInterrupted = errors.New("interrupted")

// connect opens all connections, subscribes, and starts the receivers. It fails if any
// connection or subscription fails.
func (r *run) connect(ctx context.Context) error {
	address, err := r.options.webSocketURL()
	if err != nil {
		return err
	}
	if err := r.server.find(ctx, address, r.options.Socket); err != nil {
		return err
	}
	r.server.sampleBefore()
	if err := r.openAll(ctx); err != nil {
		return err
	}
	if r.server.process != nil {
		select {
		case <-ctx.Done():
			return cause(ctx)
		case <-time.After(idleTime):
		}
	}
	r.server.sampleIdle()
	r.epoch = time.Now()
	r.liveSubscribers.Store(int64(len(r.subscribers)))
	r.livePublishers.Store(int64(len(r.publishers)))
	for _, s := range r.subscribers {
		r.receivers.Go(s.receive)
	}
	for _, p := range r.publishers {
		r.receivers.Go(p.receive)
	}
	return nil
}

// openAll opens the connections, several at once. After the first error it opens no
// more.
func (r *run) openAll(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	all := len(r.publishers) + len(r.subscribers)
	next := make(chan int)
	var opening sync.WaitGroup
	for range min(workers, all) {
		opening.Go(func() {
			for i := range next {
				if err := r.open(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	r.sendNumbers(ctx, all, next)
	opening.Wait()
	if ctx.Err() != nil {
		return fmt.Errorf("%d of %d connected: %w", r.connected.Load(), all, cause(ctx))
	}
	return nil
}

// cause returns why ctx has ended.
func cause(ctx context.Context) error {
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return errInterrupted
}

// sendNumbers sends the numbers of the connections to open, at the rate of
// Options.ConnectionsPerSecond, and then closes next.
func (r *run) sendNumbers(ctx context.Context, all int, next chan<- int) {
	defer close(next)
	start := time.Now()
	for i := range all {
		if rate := r.options.ConnectionsPerSecond; rate > 0 {
			due := start.Add(time.Duration(float64(i) / rate * 1e9))
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

// open opens one connection. The first numbers are those of the publishers; those of
// the subscribers follow.
func (r *run) open(ctx context.Context, i int) error {
	if i < len(r.publishers) {
		c, err := r.dialer.dial(ctx, false)
		if err != nil {
			return err
		}
		r.publishers[i].connection = c
		r.connected.Add(1)
		return nil
	}
	s := r.subscribers[i-len(r.publishers)]
	c, err := r.dialer.dial(ctx, s.slow)
	if err != nil {
		return err
	}
	s.connection = c
	if err := s.subscribe(ctx); err != nil {
		return err
	}
	r.connected.Add(1)
	return nil
}

// close closes the subscribers, deletes the keys, closes the publishers, and waits for
// all receivers. The subscribers close first because they would count the update of a
// deleted key as a violation. Only the first call does anything.
func (r *run) close() {
	if r.closing.Swap(true) {
		return
	}
	r.phase.Store(phaseCleaning)
	var connections []*connection
	for _, s := range r.subscribers {
		if s.connection != nil {
			connections = append(connections, s.connection)
		}
	}
	closeAll(connections)
	connections = nil
	var deleting sync.WaitGroup
	var left atomic.Bool
	for _, p := range r.publishers {
		if p.connection == nil {
			continue
		}
		connections = append(connections, p.connection)
		deleting.Go(func() {
			if !p.deleteKeys() {
				left.Store(true)
			}
		})
	}
	deleting.Wait()
	r.leftKeys = left.Load()
	closeAll(connections)
	r.receivers.Wait()
}

// closeAll closes the connections with a close handshake. After closeTimeout it cuts
// those that have not ended.
func closeAll(connections []*connection) {
	timeout := time.AfterFunc(closeTimeout, func() {
		for _, c := range connections {
			c.cut()
		}
	})
	defer timeout.Stop()
	var closing sync.WaitGroup
	for worker := range workers {
		closing.Go(func() {
			for i := worker; i < len(connections); i += workers {
				_ = connections[i].ws.Close(websocket.StatusNormalClosure, "") // it may have ended already
			}
		})
	}
	closing.Wait()
}
