package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"rtdb/keyspace"
	"rtdb/transport"
)

// errLogged is what failed once the server was logging, and was said there: a
// plain line would break the log.
var errLogged = errors.New("see the log")

// serve runs the server until a signal ends it.
func serve(c config, stderr *os.File) error {
	log, err := newLogger(c, stderr)
	if err != nil {
		return err
	}
	// Room for two: a second one that comes before the first was taken counts.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)

	listeners, err := listen(c.Host, c.Port)
	if err != nil {
		return err
	}
	secure, err := c.secured(listeners, log)
	if err != nil {
		return err
	}
	var admin []net.Listener
	if c.AdminAddr != "" {
		if admin, err = listenAdmin(c.AdminAddr); err != nil {
			return err
		}
	}
	allowed, err := c.accessConfig.read()
	if err != nil {
		return err
	}
	memory := guardMemory(limitMemory())
	defer memory.close()
	ks, err := keyspace.Open(keyspace.Options{
		MaxKeys: c.MaxKeys, Full: memory.isCrowded,
		OnPanic: func(p keyspace.Panic) { logPanic(log, p) },
	})
	if err != nil {
		return err
	}
	server := transport.NewServer(ks, transport.Options{
		Logger: log, Level: logLevel{}, Admin: c.AdminAddr != "",
		Keys: allowed.keys, Anonymous: allowed.anonymous, AllowedOrigins: allowed.origins, TrustedProxies: allowed.proxies,
		MaxValueBytes: c.MaxValueBytes, FlushInterval: c.FlushInterval,
		MaxSessions: c.sessions(), MaxSubscriptions: c.MaxSubscriptions, MaxRequestRate: c.MaxRequestRate,
		MaxPendingBytes: c.MaxPendingBytes, Crowded: memory.isCrowded,
		HeaderTimeout: c.HeaderTimeout, IdleTimeout: c.IdleTimeout, MessageTimeout: c.MessageTimeout,
	})
	logStarted(log, c, listeners, admin, memory)
	allowed.warnOpen(log, listeners, admin)

	failed := make(chan error, len(listeners)+len(admin))
	var serving sync.WaitGroup
	for _, l := range admin {
		serving.Go(func() {
			if err := server.ServeAdmin(l); err != nil {
				failed <- err
			}
		})
	}
	for _, l := range secure {
		serving.Go(func() {
			if err := server.Serve(l); err != nil {
				failed <- err
			}
		})
	}
	reason := ""
	select {
	case s := <-signals:
		reason = s.String()
		again(signals)
	case err = <-failed:
		log.Error().Err(err).Msg("server failed")
		reason, err = "failed", errLogged
	}
	began := time.Now()
	log.Info().Str("reason", reason).Int("sessions", server.Sessions()).Msg("server draining")
	if drainErr := drain(c.ShutdownGrace, server, ks); drainErr != nil {
		log.Warn().Err(drainErr).Msg("what was left after the grace was cut off")
	}
	serving.Wait()
	log.Info().Float64("duration_ms", float64(time.Since(began).Microseconds())/1000).Msg("server stopped")
	return err
}

// again has the next signal end the process at once, also one that has come
// already.
func again(signals chan os.Signal) {
	signal.Stop(signals)
	select {
	case s := <-signals:
		if self, err := os.FindProcess(os.Getpid()); err == nil {
			_ = self.Signal(s) // it fails where there are no signals
		}
	default:
	}
}

// drain ends the server and then the keyspace, for a request in flight needs
// its key. The last part of the grace is kept for cutting off what is left.
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
	// An error that was panicked with is to be read, not to be marshalled.
	e.Str("error", fmt.Sprint(p.Value)).Bytes("stack", p.Stack).Msg("actor panicked")
}

func addresses(listeners []net.Listener) *zerolog.Array {
	addrs := zerolog.Arr()
	for _, l := range listeners {
		addrs = addrs.Str(l.Addr().String())
	}
	return addrs
}

func logStarted(log zerolog.Logger, c config, listeners, admin []net.Listener, memory *memoryGuard) {
	e := log.Info()
	if len(admin) > 0 {
		e = e.Array("admin", addresses(admin))
	}
	whole := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	e.
		Str("addr", listeners[0].Addr().String()).Array("listeners", addresses(listeners)).
		Str("version", versionText()).
		Int("max_value_bytes", c.MaxValueBytes).
		Int("max_pending_bytes", c.MaxPendingBytes).
		Int("max_sessions", c.sessions()).
		Int("max_subscriptions", c.MaxSubscriptions).
		Int("max_keys", c.MaxKeys).
		Float64("max_request_rate", c.MaxRequestRate).
		Float64("header_timeout_ms", whole(c.HeaderTimeout)).
		Float64("idle_timeout_ms", whole(c.IdleTimeout)).
		Float64("message_timeout_ms", whole(c.MessageTimeout)).
		Int64("memory_limit_bytes", int64(memory.limit)).
		Float64("flush_interval_ms", whole(c.FlushInterval)).
		Float64("shutdown_grace_ms", whole(c.ShutdownGrace)).
		Msg("server started")
}
