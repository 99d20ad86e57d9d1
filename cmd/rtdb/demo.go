package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"rtdb/cmd/rtdb/demo"
	"rtdb/transport"
)

// A demoCommand runs a server in memory with pages, and the data that they show.
type demoCommand struct {
	addressFlags `group:"listening"`
	Sensors      int `group:"demo" default:"2000" help:"Sensors of the dashboard. Each is written once a second."`
	Devices      int `group:"demo" default:"60" help:"Simulated devices, up to 100. rtdb simulate adds more."`
	limitFlags   `group:"limits"`
	logFlags     `group:"logging"`
}

// AfterApply checks the flags.
func (c *demoCommand) AfterApply() error {
	if err := c.addressFlags.check(); err != nil {
		return err
	}
	if err := c.limitFlags.check(); err != nil {
		return err
	}
	return c.options().Validate()
}

func (c *demoCommand) options() demo.Options {
	return demo.Options{Sensors: c.Sensors, Devices: c.Devices, Seed: uint64(time.Now().UnixNano())}
}

// Run serves as rtdb does, until a signal comes.
func (c *demoCommand) Run(s *streams) error {
	server := &serveCommand{
		addressFlags: c.addressFlags, limitFlags: c.limitFlags, logFlags: c.logFlags,
		pageFlags:     pageFlags{Console: true, public: demo.Pages()},
		FlushInterval: transport.DefaultFlushInterval, ShutdownGrace: 15 * time.Second,
	}
	server.beside = func(log serverLog, listeners []net.Listener, welcome func()) (end func()) {
		o := c.options()
		o.Server = serverAt(listeners[0].Addr())
		o.Ready = func() {
			log.Info().Str("addr", addrText(listeners[0].Addr())).Int("sensors", c.Sensors).Int("devices", c.Devices).Msg("demo ready")
			welcome()
			if log.progress != nil {
				_, _ = io.WriteString(log.queue, c.hint(o.Server)) // a queue never fails
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() {
			if err := demo.Run(ctx, o); err != nil {
				log.Error().Err(err).Msg("demo data failed")
			}
		})
		return func() {
			cancel()
			running.Wait()
		}
	}
	return server.Run(s)
}

// hint says how to add devices.
func (c *demoCommand) hint(s demo.Server) string {
	if s.Socket != "" {
		return fmt.Sprintf("For more devices: rtdb simulate --host %s%s\n", socketScheme, s.Socket)
	}
	return fmt.Sprintf("For more devices: rtdb simulate --url %s\n", s.URL)
}

// serverAt returns the server that listens on an address of this machine.
func serverAt(addr net.Addr) demo.Server {
	if addr, ok := addr.(*net.UnixAddr); ok {
		return demo.Server{URL: "http://localhost", Socket: addr.Name}
	}
	tcp := addr.(*net.TCPAddr) // listen opens no others
	flags := addressFlags{Host: tcp.IP.String(), Port: tcp.Port}
	hostport, _ := flags.client()
	return demo.Server{URL: "http://" + hostport}
}
