package transporttest

import (
	"net"
	"sync"
	"testing"
	"time"
)

// A Proxy is a TCP proxy in front of a server, which spoils connections on command. Its
// methods may be called at any time and by many goroutines.
type Proxy struct {
	// Addr is the address that clients connect to, as host:port.
	Addr string

	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond // mood or links
	target  string
	mood    mood
	links   map[*link]struct{}
	closed  bool
	total   int
}

// A mood is how the proxy treats the bytes of its connections.
type mood struct {
	refuse  bool
	stall   bool
	swallow bool
	mute    bool
	delay   time.Duration
}

// A link is one connection of a client and its connection to the server.
type link struct {
	client, server net.Conn
}

// NewProxy starts a proxy in front of target, a host:port. It ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), listener: l, target: target, links: make(map[*link]struct{})}
	p.changed = sync.NewCond(&p.mu)
	p.running.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// URL returns the proxy's address as a URL of HTTP.
func (p *Proxy) URL() string { return "http://" + p.Addr }

// Cut resets every connection that is open.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.cut()
	}
}

// Refuse resets new connections at once, while it is on.
func (p *Proxy) Refuse(on bool) { p.become(func(m *mood) { m.refuse = on }) }

// Stall holds all bytes back, in both directions, while it is on. New connections are
// accepted and get no bytes. When it is off again, the bytes go on.
func (p *Proxy) Stall(on bool) { p.become(func(m *mood) { m.stall = on }) }

// Swallow drops the bytes of both directions, while it is on. The stream of a
// connection that has lost bytes is torn, as that of a broken middlebox: cut it, or let its
// client give it up.
func (p *Proxy) Swallow(on bool) { p.become(func(m *mood) { m.swallow = on }) }

// Mute drops the bytes that come from the server, while it is on. So the server does what
// clients ask for, and they do not learn it. The stream is torn, as that of Swallow.
func (p *Proxy) Mute(on bool) { p.become(func(m *mood) { m.mute = on }) }

// Delay holds each piece of each direction back for d. 0 delays nothing.
func (p *Proxy) Delay(d time.Duration) { p.become(func(m *mood) { m.delay = d }) }

// Retarget sends new connections to another server.
func (p *Proxy) Retarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Connections returns how many connections are open, and how many were ever accepted.
func (p *Proxy) Connections() (open, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links), p.total
}

func (p *Proxy) become(change func(*mood)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.mood)
	p.changed.Broadcast()
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed, p.mood = true, mood{}
	for l := range p.links {
		l.cut()
	}
	p.changed.Broadcast()
	p.mu.Unlock()
	_ = p.listener.Close() // it ends accept
	p.running.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.total++
		l, target := &link{client: client}, p.target
		refused := p.mood.refuse || p.closed
		if !refused {
			p.links[l] = struct{}{}
		}
		p.mu.Unlock()
		if refused {
			l.cut()
			continue
		}
		p.running.Go(func() { p.serve(l, target) })
	}
}

// serve carries the bytes of one connection until one of its ends closes.
func (p *Proxy) serve(l *link, target string) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.links, l)
		l.cut()
	}()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	p.mu.Lock()
	l.server = server
	if p.closed { // close has cut only the client's connection
		l.cut()
	}
	p.mu.Unlock()
	var copying sync.WaitGroup
	copying.Go(func() { p.carry(server, l.client, false) })
	copying.Go(func() { p.carry(l.client, server, true) })
	copying.Wait()
}

// carry carries the bytes of one direction, and then closes that direction.
func (p *Proxy) carry(to, from net.Conn, fromServer bool) {
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && p.mayPass(fromServer) {
			if _, err := to.Write(buffer[:n]); err != nil {
				_ = from.Close()
				return
			}
		}
		if err != nil {
			if tcp, ok := to.(*net.TCPConn); ok {
				_ = tcp.CloseWrite() // the other direction may go on
			}
			return
		}
	}
}

// mayPass waits while the mood holds bytes back, and reports whether they are passed on.
func (p *Proxy) mayPass(fromServer bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := p.mood.delay; d > 0 {
		p.mu.Unlock()
		time.Sleep(d)
		p.mu.Lock()
	}
	for p.mood.stall {
		p.changed.Wait()
	}
	return !p.mood.swallow && !(p.mood.mute && fromServer)
}

// cut resets both connections. It may be called more than once.
func (l *link) cut() {
	for _, c := range []net.Conn{l.client, l.server} {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, and not an orderly end
			_ = tcp.Close()
		}
	}
}
