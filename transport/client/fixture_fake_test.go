package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"rtdb/transport/client"
)

// A fake is a server in a synctest bubble that may break every rule.
type fake struct {
	t        *testing.T
	accepted chan net.Conn
	closed   chan struct{}

	mu       sync.Mutex
	dials    []time.Time // of each attempt that reached the network
	headers  []http.Header
	urls     []string
	subset   []string                                          // of subprotocols; nil: rtdb.v1
	dialing  func(context.Context) error                       // in place of the network
	refuse   func(w http.ResponseWriter, r *http.Request) bool // before the upgrade
	handle   func(p *peer, r request) bool                     // before the usual answer
	revision int
	sent     []request // all requests
	all      []*peer
	wires    []net.Conn // the connections below all
}

// A request is a message of the client.
type request struct {
	ID      json.RawMessage
	Action  string
	Key     string
	Pattern string
	Topic   string
	Token   string
	Epoch   string
	Since   uint64
	Value   json.RawMessage
	at      time.Time
}

// inBubble runs a test with a fake server.
func inBubble(t *testing.T, test func(t *testing.T, f *fake)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t, accepted: make(chan net.Conn), closed: make(chan struct{}), revision: 100}
		s := &http.Server{Handler: f}
		s.SetKeepAlivesEnabled(false) // each attempt dials
		var serving sync.WaitGroup
		serving.Go(func() { _ = s.Serve(f) })
		defer func() {
			_ = s.Close()
			serving.Wait()
			for _, p := range f.peers() {
				_ = p.conn.CloseNow()
			}
		}()
		test(t, f)
	})
}

func (f *fake) Accept() (net.Conn, error) {
	select {
	case c := <-f.accepted:
		return c, nil
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.closed:
	default:
		close(f.closed)
	}
	return nil
}

func (f *fake) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (f *fake) dialPipe(ctx context.Context, _, _ string) (net.Conn, error) {
	f.mu.Lock()
	f.dials = append(f.dials, time.Now())
	dialing := f.dialing
	f.mu.Unlock()
	if dialing != nil {
		if err := dialing(ctx); err != nil {
			return nil, err
		}
	}
	ours, theirs := net.Pipe()
	select {
	case f.accepted <- theirs:
		f.set(func() { f.wires = append(f.wires, theirs) })
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// dial connects a client. The client is closed at the end of the bubble.
func (f *fake) dial(opts ...client.Option) (*client.Client, error) {
	transport := &http.Transport{DialContext: f.dialPipe}
	opts = append([]client.Option{client.WithHTTPClient(&http.Client{Transport: transport})}, opts...)
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Hour)
	defer cancel()
	c, err := client.Dial(ctx, "http://fake", opts...)
	f.t.Cleanup(func() {
		if c != nil {
			_ = c.Close()
		}
		transport.CloseIdleConnections()
	})
	return c, err
}

func (f *fake) mustDial(opts ...client.Option) *client.Client {
	f.t.Helper()
	c, err := f.dial(opts...)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// ServeHTTP opens a WebSocket.
func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.headers = append(f.headers, r.Header)
	f.urls = append(f.urls, r.URL.String())
	refuse, protocols := f.refuse, f.subset
	f.mu.Unlock()
	if refuse != nil && refuse(w, r) {
		return
	}
	if protocols == nil {
		protocols = []string{"rtdb.v1"}
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: protocols})
	if err != nil {
		return
	}
	p := &peer{f: f, conn: conn}
	f.mu.Lock()
	f.all = append(f.all, p)
	f.mu.Unlock()
	p.serve()
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) peers() []*peer {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*peer(nil), f.all...)
}

// last returns the newest connection.
func (f *fake) last() *peer {
	synctest.Wait()
	all := f.peers()
	if len(all) == 0 {
		f.t.Fatal("there is no connection")
	}
	return all[len(all)-1]
}

// attempts returns when the client dialled.
func (f *fake) attempts() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]time.Time(nil), f.dials...)
}

// requests returns the requests with an action.
func (f *fake) requests(action string) (found []request) {
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.sent {
		if r.Action == action {
			found = append(found, r)
		}
	}
	return found
}

// A peer is a connection as the fake server sees it.
type peer struct {
	f      *fake
	conn   *websocket.Conn
	ending error // after serve
}

func (p *peer) serve() {
	for {
		_, data, err := p.conn.Read(context.Background())
		if err != nil {
			p.f.set(func() { p.ending = err })
			return
		}
		var r request
		if err := json.Unmarshal(data, &r); err != nil {
			p.f.t.Errorf("the client sent %s: %v", data, err)
		}
		r.at = time.Now()
		p.f.mu.Lock()
		p.f.sent = append(p.f.sent, r)
		handle, revision := p.f.handle, p.f.revision
		p.f.mu.Unlock()
		if handle == nil || !handle(p, r) {
			p.reply(r, fmt.Sprintf(`"version":%d,"revision":%d,"epoch":"e"`, revision, revision))
		}
	}
}

// reply answers a request.
func (p *peer) reply(r request, members string) {
	if members != "" {
		members = "," + members
	}
	p.send(fmt.Sprintf(`{"id":%s,"ok":true%s}`, r.ID, members))
}

func (p *peer) fail(r request, code string) {
	p.send(fmt.Sprintf(`{"id":%s,"error":{"code":%q,"message":"refused by the fake"}}`, r.ID, code))
}

// send sends a message. It is lost if the connection is.
func (p *peer) send(text string) {
	_ = p.conn.Write(context.Background(), websocket.MessageText, []byte(text))
}

func (p *peer) update(key string, value any, version int) {
	p.send(fmt.Sprintf(`{"key":%q,"value":%v,"version":%d,"at":%d}`, key, value, version, version))
}

// cut ends the connection without a close frame.
func (p *peer) cut() { _ = p.conn.CloseNow() }

// ended returns how the connection ended.
func (p *peer) ended() error {
	synctest.Wait()
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	return p.ending
}

// A diary notes the states of a client.
type diary struct {
	mu     sync.Mutex
	states []client.State
	errs   []error
	times  []time.Time
}

func (d *diary) note(s client.State, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.states = append(d.states, s)
	d.errs = append(d.errs, err)
	d.times = append(d.times, time.Now())
}

// count returns how often a state was noted, and the last error with it.
func (d *diary) count(s client.State) (n int, last error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, each := range d.states {
		if each == s {
			n, last = n+1, d.errs[i]
		}
	}
	return n, last
}
