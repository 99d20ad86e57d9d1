package bench

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"
)

// A serverUsage measures the processor time and the memory of the server's process,
// if this process can see it. It is for one goroutine.
type serverUsage struct {
	process *process // nil if it cannot be measured
	note    string   // if process is nil, the reason and what to do about it

	memoryBefore, memoryIdle, memoryEnd int64         // resident bytes
	cpuStart, cpuEnd                    time.Duration // processor time
	started, ended                      time.Time
}

// A usageSample is the processor time and the memory of a process at one moment.
type usageSample struct {
	cpu    time.Duration // user and system time since the process started
	memory int64         // resident bytes
}

// find looks for the process that listens at the server's address, or on socket if it is
// not empty. It returns an error if nothing accepts connections there, and so reports a
// wrong address before anything else happens.
func (u *serverUsage) find(ctx context.Context, server *url.URL, socket string) error {
	port := server.Port()
	if port == "" {
		port = map[string]string{"ws": "80", "wss": "443"}[server.Scheme]
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	network, address := "tcp", net.JoinHostPort(server.Hostname(), port)
	if socket != "" {
		network, address = "unix", socket
	}
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return fmt.Errorf("cannot connect: %w", err)
	}
	defer c.Close()
	if socket != "" {
		u.note = "a process that listens on a Unix socket cannot be found; use the address of a TCP port to measure it"
		return nil
	}
	addr, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok || !isLocal(addr.IP) {
		u.note = "the server runs on another machine; run bench on that machine to measure it"
		return nil
	}
	u.process, u.note = findListener(addr.AddrPort())
	return nil
}

// isLocal reports whether an address belongs to this machine.
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

// sampleBefore is called before the run opens its connections.
func (u *serverUsage) sampleBefore() { u.memoryBefore = u.sample().memory }

// sampleIdle is called when all connections are open and nothing is sent.
func (u *serverUsage) sampleIdle() { u.memoryIdle = u.sample().memory }

// sampleStart is called when the publishers begin to write.
func (u *serverUsage) sampleStart() {
	u.cpuStart, u.started = u.sample().cpu, time.Now()
}

// sampleEnd is called when the run has settled.
func (u *serverUsage) sampleEnd() {
	s := u.sample()
	u.cpuEnd, u.memoryEnd, u.ended = s.cpu, s.memory, time.Now()
}

func (u *serverUsage) sample() usageSample {
	if u.process == nil {
		return usageSample{}
	}
	s, err := u.process.sample()
	if err != nil {
		u.process, u.note = nil, fmt.Sprintf("its process cannot be measured any more: %v", err)
	}
	return s
}

// summary returns the cost of a delivery and of a connection, or nil if the process
// could not be measured.
func (u *serverUsage) summary(deliveries int64, connections int) *Server {
	if u.process == nil {
		return nil
	}
	s := &Server{
		Name: u.process.name, PID: u.process.pid,
		CPUSeconds:        (u.cpuEnd - u.cpuStart).Seconds(),
		MemoryBeforeBytes: u.memoryBefore,
		MemoryIdleBytes:   u.memoryIdle,
		MemoryEndBytes:    u.memoryEnd,
	}
	if elapsed := u.ended.Sub(u.started).Seconds(); elapsed > 0 {
		s.CPUCores = s.CPUSeconds / elapsed
	}
	if deliveries > 0 {
		s.CPUPerDelivery = s.CPUSeconds * 1e6 / float64(deliveries)
	}
	if growth := u.memoryIdle - u.memoryBefore; growth > 0 {
		s.MemoryPerConnection = growth / int64(connections)
	}
	return s
}
