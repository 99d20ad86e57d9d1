package transport_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tmaxmax/go-sse"

	"rtdb/transport"
)

// A feed is a stream of events, as it stands on the wire.
type feed struct {
	t    testing.TB
	r    *bufio.Reader
	end  func()
	head http.Header
}

func (w *wire) feed(t testing.TB, query string, headers ...string) *feed {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+w.addr+"/events?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	f := &feed{t, bufio.NewReader(answer.Body), sync.OnceFunc(func() {
		cancel()
		_ = answer.Body.Close()
	}), answer.Header}
	t.Cleanup(f.end)
	if answer.StatusCode != 200 {
		t.Fatalf("GET /events?%s: %d", query, answer.StatusCode)
	}
	if first := f.block(); !strings.HasPrefix(first, "retry: ") {
		t.Errorf("the stream begins with %q", first)
	}
	return f
}

// block reads up to the next empty line.
func (f *feed) block() string {
	f.t.Helper()
	var lines []string
	for {
		line, err := f.r.ReadString('\n')
		if err != nil {
			f.t.Fatalf("the stream ended after %q: %v", lines, err)
		}
		if line == "\n" {
			return strings.Join(lines, "|")
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
}

func (f *feed) want(blocks ...string) {
	f.t.Helper()
	for _, want := range blocks {
		if got := f.block(); got != want {
			f.t.Fatalf("the stream says %q, want %q", got, want)
		}
	}
}

func TestEvents(t *testing.T) {
	w := newWire(t, transport.Options{})
	w.want(t, "POST", "/data/a/1", `{"value":1}`, 200, "")
	w.want(t, "POST", "/data/b", `{"value":{"x":"line\nfeed"}}`, 200, "")

	w.settle()
	live := w.feed(t, "pattern=a/%2B&key=b&topic=t")
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no",
	} {
		if got := live.head.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	live.want("id: 2") // nothing to see, but to resume from
	all := w.feed(t, "pattern=a/%2B&key=b&snapshot=true&topic=t")
	all.want(`id: 0|data: {"key":"a/1","value":1}`, `id: 0|data: {"key":"b","value":{"x":"line\nfeed"}}`,
		`id: 2|event: synced|data: {"synced":true,"revision":2}`)
	since := w.feed(t, "pattern=%23&since=1")
	since.want(`id: 1|data: {"key":"b","value":{"x":"line\nfeed"}}`, `id: 2|event: synced|data: {"synced":true,"revision":2}`)

	w.want(t, "DELETE", "/data/b", "", 204, "")
	w.settle()
	w.want(t, "POST", "/data/a/2", `{"value":"\u00e9"}`, 200, "")
	w.settle()
	w.want(t, "POST", "/topics/t", `{"value":"hello"}`, 202, "")
	for _, f := range []*feed{live, all} {
		f.want(`id: 3|data: {"key":"b","value":null,"deleted":true}`, `id: 4|data: {"key":"a/2","value":"\u00e9"}`,
			`id: 4|data: {"topic":"t","value":"hello"}`)
	}
	since.want(`id: 3|data: {"key":"b","value":null,"deleted":true}`, `id: 4|data: {"key":"a/2","value":"\u00e9"}`)

	// What a browser does: the same address, and the last id that it saw.
	again := w.feed(t, "pattern=%23&since=1&snapshot=true", "Last-Event-ID", "3")
	again.want(`id: 3|data: {"key":"a/2","value":"\u00e9"}`, `id: 4|event: synced|data: {"synced":true,"revision":4}`)
	reset := w.feed(t, "key=a/1", "Last-Event-ID", "99")
	reset.want(`id: 99|data: {"key":"a/1","value":1}`, `id: 4|event: synced|data: {"synced":true,"revision":4,"reset":true}`)
	if answer := w.with(t, "GET", "/events?key=a/1", "", "Last-Event-ID", "x"); answer.StatusCode != 400 {
		t.Errorf("a malformed Last-Event-ID: %d", answer.StatusCode)
	}
	if n := w.Sessions(); n != 5 {
		t.Errorf("%d sessions, want 5", n)
	}

	// A client that goes is noticed.
	live.end()
	closed := w.log.await(t, "session closed", 1)[0]
	if closed["route"] != "/events" || closed["reason"] != "connection lost" || closed["delivered"] != 3.0 || closed["dropped"] != 0.0 {
		t.Errorf("logged %v", closed)
	}

	// A shutdown ends the response as a response ends.
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		ended <- w.Shutdown(ctx)
	}()
	if rest, err := io.ReadAll(all.r); err != nil || len(rest) != 0 {
		t.Errorf("the stream ended with %q, %v", rest, err)
	}
	for _, f := range []*feed{since, again, reset} {
		if _, err := io.ReadAll(f.r); err != nil {
			t.Error(err)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, e := range w.log.lines(t, "session closed")[1:] {
		if e["code"] != 1012.0 {
			t.Errorf("logged %v", e)
		}
	}
}

// Streams outlast the WebSockets of a shutdown: while one of those takes its
// time a browser that came back to a draining server would give up for good.
func TestStreamsEndLast(t *testing.T) {
	w := newWire(t, transport.Options{})
	p := w.dial(t)
	p.ask(`{"action":"will","key":"k","value":"gone","id":1}`, `{"id":1,"ok":true}`)
	p.SetCloseHandler(func(int, string) error { return nil }) // the server waits a second for it
	f := w.feed(t, "key=k")
	f.want("id: 0")
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		ended <- w.Shutdown(ctx)
	}()
	p.wantClose(1012)
	f.want(`id: 1|data: {"key":"k","value":"gone"}`)
	if rest, err := io.ReadAll(f.r); err != nil || len(rest) != 0 {
		t.Errorf("the stream ended with %q, %v", rest, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// What a client sends with its request, and does not send, ends neither the
// server's answer nor its shutdown.
func TestOddRequestsForEvents(t *testing.T) {
	w := newWire(t, transport.Options{})
	for _, selector := range []string{"key", "pattern", "topic"} {
		w.want(t, "GET", "/events?"+selector+"="+strings.Repeat("%80", 70), "", 400, "invalid_name")
	}
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /events?key=k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	r := bufio.NewReader(c)
	if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 200") {
		t.Fatalf("a request that still owes a body is answered %q, %v", line, err)
	}
	w.log.await(t, "session opened", 1)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// A stream that is slow to end does not keep the listener open: a browser whose
// own has ended would come back, be refused, and give up.
func TestASlowStreamDoesNotKeepTheListener(t *testing.T) {
	w := newWire(t, transport.Options{})
	value := quote(strings.Repeat("x", 60_000))
	for i := range 200 {
		if _, err := w.keyspace.Set(t.Context(), fmt.Sprint("k/", i), []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := net.Dial("tcp", w.addr) // it takes nothing
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET /events?pattern=%23&snapshot=true HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	w.log.await(t, "session opened", 1)
	eventually(t, "its snapshot under way", func() bool {
		_, text := w.call(t, "GET", "/sessions", "")
		return !strings.Contains(text, `"pending_bytes":0`)
	})
	good := w.feed(t, "key=none")
	good.want("id: 200")
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		ended <- w.Shutdown(ctx)
	}()
	if _, err := io.ReadAll(good.r); err != nil {
		t.Error(err)
	}
	for gone := false; !gone; { // at once, or nearly: the stream above has seconds
		select {
		case err := <-ended:
			t.Fatalf("the slow stream has ended: %v", err)
		default:
		}
		answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(must(http.NewRequest("GET", "http://"+w.addr+"/readyz", nil)))
		if gone = err != nil; !gone {
			_ = answer.Body.Close()
		}
	}
	_ = c.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

// A stream says that it lives, and one whose client takes nothing is ended.
func TestAStreamOverTime(t *testing.T) {
	inBubble(t, func(t *testing.T, p *piped) {
		ours, theirs := net.Pipe()
		p.listener.accept <- theirs
		if _, err := io.WriteString(ours, "GET /events?key=k HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var mu sync.Mutex
		var text strings.Builder
		reading := make(chan struct{})
		go func() {
			defer close(reading)
			buffer := make([]byte, 1000)
			for time.Since(start) < time.Minute {
				n, err := ours.Read(buffer)
				if err != nil {
					return
				}
				mu.Lock()
				text.Write(buffer[:n])
				mu.Unlock()
			}
		}()
		time.Sleep(50 * time.Second)
		synctest.Wait()
		mu.Lock()
		if n := strings.Count(text.String(), "\n:\n\n"); n != 3 {
			t.Errorf("%d comments in 50 s, want 3:\n%s", n, text.String())
		}
		mu.Unlock()
		<-reading // it takes nothing from here on
		time.Sleep(transport.StallTimeout + 20*time.Second)
		synctest.Wait()
		if e := p.log.lines(t, "session closed"); len(e) != 1 || e[0]["reason"] != "too slow" {
			t.Errorf("logged %v", e)
		}
		_ = ours.Close()
		synctest.Wait()
	})
}

// A foreign client, whose connection is cut while keys are written, comes back by itself with the last id, and misses nothing.
func TestAForeignEventSourceResumes(t *testing.T) {
	w := newWire(t, transport.Options{})
	proxy := newCutter(t, w.addr)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+proxy.addr+"/events?pattern=k/%23&snapshot=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	synced, retries, ended := false, 0, false // all the connection's own, until it is over
	client := sse.Client{
		OnRetry:    func(error, time.Duration) { synced, retries = false, retries+1 },
		HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		Backoff:    sse.Backoff{InitialInterval: time.Millisecond, MaxInterval: 2 * time.Millisecond},
	}
	connection := client.NewConnection(r)
	const last = 600
	held := map[string]string{}
	finished, syncs := make(chan struct{}), make(chan struct{}, 10)
	connection.SubscribeToAll(func(e sse.Event) {
		var u struct {
			Key     string
			Value   json.RawMessage
			Deleted bool
			Reset   bool
		}
		if e.Data == "" {
			return // of such a browser says nothing
		}
		if err := json.Unmarshal([]byte(e.Data), &u); err != nil {
			t.Errorf("%+v: %v", e, err)
		}
		switch {
		case e.Type == "synced":
			if synced = true; u.Reset {
				t.Error("reset")
			}
			syncs <- struct{}{}
		case u.Deleted:
			delete(held, u.Key)
		default:
			held[u.Key] = string(u.Value)
		}
		if ended = ended || u.Key == "k/end"; ended && synced {
			close(finished)
			cancel()
		}
	})
	var connecting sync.WaitGroup
	connecting.Go(func() {
		if err := connection.Connect(); !errors.Is(err, context.Canceled) {
			t.Errorf("Connect: %v", err)
		}
	})
	for i := range last {
		key := fmt.Sprint("k/", i%50)
		if i%7 == 0 {
			_, _ = w.keyspace.Delete(t.Context(), key)
		} else if _, err := w.keyspace.Set(t.Context(), key, fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
		if i%300 == 100 { // the client is there, and then it is not
			select {
			case <-syncs:
			case <-ctx.Done():
				t.Fatal("the client did not come back")
			}
			proxy.cut()
		}
	}
	if _, err := w.keyspace.Set(t.Context(), "k/end", []byte("1")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-finished:
	case <-ctx.Done():
		t.Fatal("the last write did not come")
	}
	connecting.Wait()
	if retries < last/300 {
		t.Errorf("%d retries, want one for each cut", retries)
	}
	for i := range 50 {
		key := fmt.Sprint("k/", i)
		e, err := w.keyspace.Get(key)
		if value, ok := held[key]; (err == nil) != ok || string(e.Value) != value {
			t.Errorf("%s is %s (%v), the client has %q", key, e.Value, err, value)
		}
	}
}

// A cutter is a proxy that cuts its connections off where a test says so.
type cutter struct {
	addr  string
	mu    sync.Mutex
	conns []net.Conn
}

func newCutter(t *testing.T, addr string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{addr: l.Addr().String()}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", addr)
			if err != nil {
				_ = from.Close()
				continue
			}
			c.mu.Lock()
			c.conns = append(c.conns, from, to)
			c.mu.Unlock()
			running.Go(func() { _, _ = io.Copy(to, from); _ = to.Close() })
			running.Go(func() { _, _ = io.Copy(from, to); _ = from.Close() })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		c.cut()
		running.Wait()
	})
	return c
}

func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}
