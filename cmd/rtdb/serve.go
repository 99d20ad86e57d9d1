package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/alecthomas/kong"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"rtdb/keyspace"
	"rtdb/transport"
)

// A serveCommand runs the server.
type serveCommand struct {
	addressFlags     `group:"listening"`
	AdminAddr        string `group:"listening" env:"ADMIN_ADDR" placeholder:"HOST:PORT" help:"Private address (or unix:PATH) for metrics, sessions, log level and profiles. It asks for no token."`
	accessFlags      `group:"access"`
	pageFlags        `group:"pages"`
	certificateFlags `group:"tls"`
	storageFlags     `group:"storage"`
	clusterFlags     `group:"nodes"`
	limitFlags       `group:"limits"`
	logFlags         `group:"logging"`
	FlushInterval    time.Duration `group:"tuning" default:"1ms" env:"FLUSH_INTERVAL" help:"Longest time that an update waits to be sent together with later ones. 0 delays no update."`
	ShutdownGrace    time.Duration `group:"tuning" default:"15s" env:"SHUTDOWN_GRACE" help:"Longest time that a shutdown may take."`

	access access // the parsed accessFlags

	// beside starts something that runs beside the server, when the state is loaded, and
	// returns at once. welcome is to be called when there is something to see. end is called
	// before the server's clients are sent away. nil: nothing runs beside it.
	beside func(log serverLog, listeners []net.Listener, welcome func()) (end func())
}

// AfterApply checks the flags and reads the keys.
func (c *serveCommand) AfterApply(command *kong.Context) error {
	c.storageFlags.check(command)
	if err := c.clusterFlags.check(command, c.DataDir); err != nil {
		return err
	}
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
	if err := c.pageFlags.check(); err != nil {
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

// Errors that have been logged. Once the server logs, a plain line on standard error would
// break the log.
var (
	errLogged      = errors.New("see the log")
	errStoreFailed = errors.New("the store failed: see the log")
)

// Run serves until a signal ends the server or a listener fails.
func (c *serveCommand) Run(s *streams) error {
	signals := catchSignals()
	if c.NATSURL != "" {
		c.logFlags.node = c.Node
	}
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
	startGCPacer()
	garbage := startReclaimer()
	defer garbage.close()
	kept, err := c.openStore(log)
	if err != nil {
		return err
	}
	ks := keyspace.New(c.keyspaceOptions(log, memory, kept))
	server := transport.NewServer(ks, c.options(log, memory, kept))
	if kept != nil && kept.attach != nil {
		kept.attach(server)
	}
	c.logStarted(log, listeners, admin, memory)
	c.access.warnIfOpen(log.Logger, listeners, admin)
	c.warnOfUnused(log.Logger)
	c.access.follow(log.Logger, files)
	defer c.access.close()

	x := &serving{log: log, signals: signals, server: server, keyspace: ks, store: kept, grace: c.ShutdownGrace}
	welcome := func() {
		if log.isConsole && isTerminal(s.err) {
			_, _ = io.WriteString(log.queue, c.welcome(listeners)) // a queue never fails
		}
	}
	x.loaded, x.leave = welcome, func() {}
	if c.beside != nil {
		x.loaded = func() { x.leave = c.beside(log, listeners, welcome) }
	}
	return x.run(admin, secure, files.reload)
}

// openStore opens the store. It returns nil if the state is in memory.
func (c *serveCommand) openStore(log serverLog) (*store, error) {
	switch {
	case c.NATSURL != "":
		return c.clusterFlags.open(log, c.MaxValueBytes)
	case c.DataDir != "":
		return c.storageFlags.open(log)
	}
	return nil, nil
}

// warnOfUnused logs the settings that have no effect.
func (c *serveCommand) warnOfUnused(log zerolog.Logger) {
	warn := func(settings []string, message string) {
		if len(settings) > 0 {
			log.Warn().Strs("settings", settings).Msg(message)
		}
	}
	switch {
	case c.NATSURL != "":
		warn(c.withoutUse, "the state is in NATS: these settings need --data-dir")
	default:
		warn(c.withoutUse, "the state is in memory: these settings need --data-dir")
	}
	warn(c.natsUnused, "the state is not in NATS: these settings need --nats-url")
}

// keyspaceOptions returns the settings of the keyspace. kept may be nil.
func (c *serveCommand) keyspaceOptions(log serverLog, memory *memoryGuard, kept *store) keyspace.Options {
	o := keyspace.Options{
		MaxKeys: c.MaxKeys, Full: memory.isShort,
		OnPanic: func(p keyspace.Panic) { logPanic(log.Logger, p) },
	}
	if kept != nil {
		o.Store, o.Refuse = kept.Store, kept.refuse
	}
	return o
}

// closeAll closes listeners that were not closed yet.
func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close() // it fails if the server has closed it
	}
}

// options returns the settings of the server. kept may be nil.
func (c *serveCommand) options(log serverLog, memory *memoryGuard, kept *store) transport.Options {
	o := transport.Options{
		Logger: log.Logger, Level: logLevel{}, LogDropped: log.queue.dropped, Admin: c.AdminAddr != "",
		Keys: c.access.keys, Anonymous: c.access.anonymous, TokenCookie: c.TokenCookie,
		AllowedOrigins: c.access.origins, TrustedProxies: c.access.proxies,
		MaxValueBytes: c.MaxValueBytes, FlushInterval: c.FlushInterval,
		MaxSessions: c.sessions(), MaxSubscriptions: c.MaxSubscriptions, MaxRequestRate: c.MaxRequestRate,
		MaxPendingBytes: c.MaxPendingBytes, Crowded: memory.isShort,
		Console: c.Console, Public: c.public, Node: c.logFlags.node,
		HeaderTimeout: c.HeaderTimeout, IdleTimeout: c.IdleTimeout, MessageTimeout: c.MessageTimeout,
	}
	if kept != nil {
		o.Backup, o.Collectors = kept.backup, []prometheus.Collector{kept.collector}
		o.Ready, o.Takeover = kept.ready, kept.takeOver
	}
	return o
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
	if c.NATSURL != "" {
		e = e.Str("stream", c.NATSStream).Strs("nats", c.servers)
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
