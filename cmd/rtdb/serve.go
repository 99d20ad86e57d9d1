package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"rtdb/keyspace"
	"rtdb/transport"
)

// A serveCommand runs the server.
type serveCommand struct {
	addressFlags     `group:"listening"`
	AdminAddr        string `group:"listening" env:"ADMIN_ADDR" placeholder:"HOST:PORT" help:"Private address (or unix:PATH) for metrics, sessions, log level and profiles. It asks for no token."`
	accessFlags      `group:"access"`
	certificateFlags `group:"tls"`
	limitFlags       `group:"limits"`
	logFlags         `group:"logging"`
	FlushInterval    time.Duration `group:"tuning" default:"2ms" env:"FLUSH_INTERVAL" help:"Shortest time between two writes of updates to a WebSocket. 0 delays no update."`
	ShutdownGrace    time.Duration `group:"tuning" default:"15s" env:"SHUTDOWN_GRACE" help:"Longest time that a shutdown may take."`

	access access // the parsed accessFlags
}

// AfterApply checks the flags and reads the keys.
func (c *serveCommand) AfterApply() error {
	if err := c.addressFlags.check(); err != nil {
		return err
	}
	if c.AdminAddr != "" {
		if err := checkAdminAddr(c.AdminAddr); err != nil {
			return err
		}
	}
	if err := c.certificateFlags.check(); err != nil {
		return err
	}
	if err := c.limitFlags.check(); err != nil {
		return err
	}
	switch {
	case c.FlushInterval < 0 || c.FlushInterval > time.Second:
		return fmt.Errorf("--flush-interval ($FLUSH_INTERVAL): expected 0s to 1s but got %v", c.FlushInterval)
	case c.ShutdownGrace < 0:
		return fmt.Errorf("--shutdown-grace ($SHUTDOWN_GRACE): expected no less than 0s but got %v", c.ShutdownGrace)
	}
	var err error
	c.access, err = c.accessFlags.read()
	return err
}

// errLogged is returned for an error that has been logged. Once the server logs, a plain
// line on standard error would break the log.
var errLogged = errors.New("see the log")

// Run serves until a signal ends the server or a listener fails.
func (c *serveCommand) Run(s *streams) error {
	signals := catchSignals()
	log, err := c.logger(s.err)
	if err != nil {
		return err
	}
	defer log.queue.close(logGrace)

	listeners, err := listen(c.Host, c.Port, mainSettings)
	if err != nil {
		return err
	}
	defer closeAll(listeners) // they remove the files of Unix sockets
	files := newWatcher(log.Logger)
	defer files.close()
	secure, err := c.secure(listeners, files)
	if err != nil {
		return err
	}
	var admin []net.Listener
	if c.AdminAddr != "" {
		if admin, err = listenAdmin(c.AdminAddr); err != nil {
			return err
		}
		defer closeAll(admin)
	}
	memory := guardMemory(limitMemory())
	defer memory.close()
	ks, err := keyspace.Open(keyspace.Options{
		MaxKeys: c.MaxKeys, Full: memory.isShort,
		OnPanic: func(p keyspace.Panic) { logPanic(log.Logger, p) },
	})
	if err != nil {
		return err
	}
	server := transport.NewServer(ks, c.options(log, memory))
	c.logStarted(log, listeners, admin, memory)
	c.access.warnIfOpen(log.Logger, listeners, admin)
	c.access.follow(log.Logger, files)
	defer c.access.close()
	if log.isConsole && isTerminal(s.err) {
		_, _ = io.WriteString(log.queue, c.welcome(listeners)) // a queue never fails
	}

	failed := make(chan error, len(secure)+len(admin))
	var serving sync.WaitGroup
	start := func(serve func(net.Listener) error, listeners []net.Listener) {
		for _, l := range listeners {
			serving.Go(func() {
				if err := serve(l); err != nil {
					failed <- err
				}
			})
		}
	}
	start(server.ServeAdmin, admin)
	start(server.Serve, secure)

	ended := make(chan struct{})
	defer close(ended)
	// It is not waited for: a file system that hangs must not delay the end.
	go signals.reloadAtHangup(log.Logger, files.reload, ended)

	reason := ""
	select {
	case received := <-signals.stop:
		reason = received.String()
		signals.endAtNext()
	case err = <-failed:
		log.Error().Err(err).Msg("server failed")
		reason, err = "failed", errLogged
	}
	began := time.Now()
	log.Info().Str("reason", reason).Int("sessions", server.Sessions()).Msg("server draining")
	if drainErr := drain(c.ShutdownGrace, server, ks); drainErr != nil {
		log.Warn().Err(drainErr).Msg("shutdown grace expired")
	}
	serving.Wait()
	log.Info().Float64("duration_ms", milliseconds(time.Since(began))).Msg("server stopped")
	return err
}

// closeAll closes listeners that were not closed yet.
func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close() // it fails if the server has closed it
	}
}

// options returns the settings of the server.
func (c *serveCommand) options(log serverLog, memory *memoryGuard) transport.Options {
	return transport.Options{
		Logger: log.Logger, Level: logLevel{}, LogDropped: log.queue.dropped, Admin: c.AdminAddr != "",
		Keys: c.access.keys, Anonymous: c.access.anonymous, TokenCookie: c.TokenCookie,
		AllowedOrigins: c.access.origins, TrustedProxies: c.access.proxies,
		MaxValueBytes: c.MaxValueBytes, FlushInterval: c.FlushInterval,
		MaxSessions: c.sessions(), MaxSubscriptions: c.MaxSubscriptions, MaxRequestRate: c.MaxRequestRate,
		MaxPendingBytes: c.MaxPendingBytes, Crowded: memory.isShort,
		HeaderTimeout: c.HeaderTimeout, IdleTimeout: c.IdleTimeout, MessageTimeout: c.MessageTimeout,
	}
}

// drain ends the server and then the keyspace, because a request in flight needs the
// keyspace. It returns an error if the grace was too short and connections were cut
// off. The last part of the grace is reserved for that.
func drain(grace time.Duration, server *transport.Server, ks *keyspace.Keyspace) error {
	ctx, cancel := context.WithTimeout(context.Background(), grace-min(grace/5, 500*time.Millisecond))
	defer cancel()
	err := server.Shutdown(ctx)
	return errors.Join(err, ks.Shutdown(ctx))
}

func logPanic(log zerolog.Logger, p keyspace.Panic) {
	e := log.Error()
	if p.Target.Kind == keyspace.KindTopic {
		e = e.Str("topic", p.Target.Name)
	} else {
		e = e.Str("key", p.Target.Name)
	}
	// The value is logged as text, even if it is an error that zerolog would marshal.
	e.Str("error", fmt.Sprint(p.Value)).Bytes("stack", p.Stack).Msg("actor panicked")
}

// logStarted logs the addresses and the limits of the server. A console gets the limits
// at debug only, because they hide the address from the eyes of a person.
func (c *serveCommand) logStarted(log serverLog, listeners, admin []net.Listener, memory *memoryGuard) {
	e := log.Info()
	if len(admin) > 0 {
		e = e.Array("admin", addresses(admin))
	}
	e = e.Str("addr", addrText(listeners[0].Addr())).Array("listeners", addresses(listeners)).Str("version", versionText())
	if log.isConsole {
		e.Msg("server started")
		c.limitsInForce(log.Debug(), memory).Msg("limits in force")
		return
	}
	c.limitsInForce(e, memory).Msg("server started")
}

// limitsInForce adds the limits to a log event.
func (c *serveCommand) limitsInForce(e *zerolog.Event, memory *memoryGuard) *zerolog.Event {
	return e.
		Int("max_value_bytes", c.MaxValueBytes).
		Int("max_pending_bytes", c.MaxPendingBytes).
		Int("max_sessions", c.sessions()).
		Int("max_subscriptions", c.MaxSubscriptions).
		Int("max_keys", c.MaxKeys).
		Float64("max_request_rate", c.MaxRequestRate).
		Float64("header_timeout_ms", milliseconds(c.HeaderTimeout)).
		Float64("idle_timeout_ms", milliseconds(c.IdleTimeout)).
		Float64("message_timeout_ms", milliseconds(c.MessageTimeout)).
		Int64("memory_limit_bytes", int64(memory.limit)).
		Float64("flush_interval_ms", milliseconds(c.FlushInterval)).
		Float64("shutdown_grace_ms", milliseconds(c.ShutdownGrace))
}

func addresses(listeners []net.Listener) *zerolog.Array {
	addrs := zerolog.Arr()
	for _, l := range listeners {
		addrs = addrs.Str(addrText(l.Addr()))
	}
	return addrs
}

// milliseconds returns d in milliseconds, with a resolution of a microsecond.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
