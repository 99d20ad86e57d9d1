package transport_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rtdb/transport"
	"rtdb/transport/transporttest"
)

// A rawStream is an event stream as its bytes come.
type rawStream struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

// rawStream opens an event stream with a request of its own.
func (w *wire) rawStream(t testing.TB, request string) *rawStream {
	t.Helper()
	c := must(net.Dial("tcp", w.addr))
	return newRawStream(t, c, request)
}

func newRawStream(t testing.TB, c net.Conn, request string) *rawStream {
	t.Helper()
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(2 * patience))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return &rawStream{c, t, bufio.NewReader(c)}
}

// head reads the head of the response.
func (s *rawStream) head() (status string, h http.Header) {
	s.t.Helper()
	h = make(http.Header)
	status = s.line()
	for {
		line := s.line()
		if line == "" {
			return status, h
		}
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			s.t.Fatalf("a header is %q", line)
		}
		h.Add(name, value)
	}
}

func (s *rawStream) line() string {
	s.t.Helper()
	line, err := s.r.ReadString('\n')
	if err != nil || !strings.HasSuffix(line, "\r\n") {
		s.t.Fatalf("a line is %q, %v", line, err)
	}
	return strings.TrimSuffix(line, "\r\n")
}

// chunk reads one chunk (RFC 9112, section 7.1). The last one is empty.
func (s *rawStream) chunk() string {
	s.t.Helper()
	digits := s.line()
	size, err := strconv.ParseUint(digits, 16, 32)
	if err != nil || strconv.FormatUint(size, 16) != digits {
		s.t.Fatalf("the size of a chunk is %q", digits)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(s.r, data); err != nil {
		s.t.Fatal(err)
	}
	if rest := s.line(); rest != "" {
		s.t.Fatalf("a chunk of %s bytes goes on with %q", digits, rest)
	}
	return string(data)
}

// wantRest expects the rest of the bytes, up to the end of the connection.
func (s *rawStream) wantRest(want string) {
	s.t.Helper()
	if rest, err := io.ReadAll(s.r); string(rest) != want || err != nil {
		s.t.Errorf("the rest is %q, %v; want %q", rest, err, want)
	}
}

const getStream = "GET /events?key=k HTTP/1.1\r\nHost: localhost\r\n"

// A connection that is taken over gets the same response as from net/http: over HTTP/1.1 in
// chunks, one for each write, and over HTTP/1.0 up to the end of the connection.
func TestTheBytesOfAnEventStream(t *testing.T) {
	w := newWire(t, transport.Options{AllowedOrigins: []string{"https://app.example"}})
	kick := func(n int) {
		t.Helper()
		id := w.log.await(t, "session opened", n)[n-1]["session"].(string)
		w.want(t, "DELETE", "/sessions/"+id, "", 204, "")
	}
	const end = "event: end\ndata: {\"reason\":\"kicked\",\"code\":4009}\n\n"
	checkHead := func(h http.Header, want map[string]string) {
		t.Helper()
		date, err := http.ParseTime(h.Get("Date"))
		if err != nil || time.Since(date).Abs() > time.Minute {
			t.Errorf("Date: %q, %v", h.Get("Date"), err)
		}
		h.Del("Date")
		for name, value := range map[string]string{
			"Content-Type": "text/event-stream", "Cache-Control": "no-store, no-transform", "Connection": "close",
			"X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff", "Vary": "Origin",
		} {
			want[name] = value
		}
		for name, value := range want {
			if h.Get(name) != value {
				t.Errorf("%s: %q, want %q", name, h.Get(name), value)
			}
			delete(h, name)
		}
		delete(h, "Access-Control-Expose-Headers")
		if len(h) > 0 {
			t.Errorf("there are more headers: %v", h)
		}
	}

	s := w.rawStream(t, getStream+"Origin: https://app.example\r\n\r\n")
	status, h := s.head()
	if status != "HTTP/1.1 200 OK" {
		t.Errorf("the status is %q", status)
	}
	checkHead(h, map[string]string{"Transfer-Encoding": "chunked", "Access-Control-Allow-Origin": "https://app.example"})
	if first, mark := s.chunk(), s.chunk(); !strings.HasPrefix(first, "retry: ") || !strings.HasSuffix(first, "\n\n") || mark != "id: e.0\n\n" {
		t.Errorf("the stream begins with %q, %q", first, mark)
	}
	for _, n := range []int{0, 200, 70_000} {
		value := quote(strings.Repeat("x", n))
		version := must(w.keyspace.Set(t.Context(), "k", []byte(value)))
		if got, want := s.chunk(), fmt.Sprintf("id: e.%d\ndata: {\"key\":\"k\",\"value\":%s}\n\n", version, value); got != want {
			t.Errorf("a chunk is %.80q, want %.80q", got, want)
		}
	}
	kick(1)
	if got := s.chunk(); got != end {
		t.Errorf("the last event is %q", got)
	}
	s.wantRest("0\r\n\r\n")

	old := w.rawStream(t, "GET /events?key=k&snapshot=true HTTP/1.0\r\nHost: localhost\r\n\r\n")
	status, h = old.head()
	if status != "HTTP/1.0 200 OK" {
		t.Errorf("the status is %q", status)
	}
	checkHead(h, map[string]string{})
	for line := ""; !strings.HasPrefix(line, "data: {\"synced\""); {
		line = must(old.r.ReadString('\n'))
	}
	kick(2)
	old.wantRest("\n" + end)
}

// Requests for streams that carry more than a request.
func TestARequestForEventsWithMore(t *testing.T) {
	w := newWire(t, transport.Options{})
	for name, c := range map[string]struct {
		request string
		own     bool // the connection is taken over
	}{
		"a body":              {getStream + "Content-Length: 5\r\n\r\nhello", false},
		"a body in chunks":    {getStream + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", false},
		"another request":     {getStream + "\r\n" + getStream + "\r\n", true},
		"a part of a request": {getStream + "\r\nGET /da", true},
	} {
		before := len(w.log.lines(t, "session opened"))
		s := w.rawStream(t, c.request)
		status, h := s.head()
		if own := h.Get("Connection") == "close"; status != "HTTP/1.1 200 OK" || own != c.own {
			t.Errorf("%s: %s, %v", name, status, h)
		}
		for text := ""; !strings.Contains(text, "id: e.0\n"); {
			text += s.chunk()
		}
		id := w.log.await(t, "session opened", before+1)[before]["session"].(string)
		w.want(t, "DELETE", "/sessions/"+id, "", 204, "")
		if got := s.chunk(); !strings.HasPrefix(got, "event: end\n") {
			t.Errorf("%s: the last event is %q", name, got)
		}
		if got := s.chunk(); got != "" {
			t.Errorf("%s: after the last event comes %q", name, got)
		}
		_ = s.Close()
	}
}

// A client leaves by closing its side of the connection. One that sends what nobody asked
// for is ended.
func TestHowAnEventStreamIsLeft(t *testing.T) {
	w := newWire(t, transport.Options{})
	for i, c := range []struct {
		leave  func(*net.TCPConn) error
		reason string
	}{
		{(*net.TCPConn).CloseWrite, "connection lost"},
		{func(c *net.TCPConn) error { return errors.Join(c.SetLinger(0), c.Close()) }, "connection lost"},
		{func(c *net.TCPConn) error {
			_, _ = c.Write(make([]byte, 66<<10)) // it fails if the server is quick
			return nil
		}, "protocol error"},
	} {
		s := w.rawStream(t, getStream+"\r\n")
		s.head()
		if err := c.leave(s.Conn.(*net.TCPConn)); err != nil {
			t.Fatal(err)
		}
		if e := w.log.await(t, "session closed", i+1)[i]; e["reason"] != c.reason {
			t.Errorf("logged %v, want %s", e, c.reason)
		}
	}
}

// A proxy on the same machine may use a Unix socket.
func TestAnEventStreamOverAUnixSocket(t *testing.T) {
	w := newWire(t, transport.Options{})
	path := filepath.Join(t.TempDir(), "s")
	l := must(net.Listen("unix", path))
	var serving sync.WaitGroup
	serving.Go(func() { _ = w.Serve(l) })
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { _ = w.Shutdown(context.Background()) })
	s := newRawStream(t, must(net.Dial("unix", path)), getStream+"\r\n")
	if _, h := s.head(); h.Get("Connection") != "close" {
		t.Errorf("the connection is not taken over: %v", h)
	}
	for text := ""; !strings.Contains(text, "id: e.0\n"); {
		text += s.chunk()
	}
	if _, err := w.keyspace.Set(t.Context(), "k", []byte("1")); err != nil {
		t.Fatal(err)
	}
	if got := s.chunk(); got != "id: e.1\ndata: {\"key\":\"k\",\"value\":1}\n\n" {
		t.Errorf("the update is %q", got)
	}
}

// A client that takes nothing is closed after 10 s, and nothing follows its torn event. A
// client that gets nothing gets a comment after 15 s.
func TestAnEventStreamThatWaits(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 15 s")
	}
	t.Parallel()
	w := newWire(t, transport.Options{})
	begun := time.Now()
	idle := w.rawStream(t, "GET /events?key=idle HTTP/1.1\r\nHost: localhost\r\n\r\n")
	idle.head()
	for text := ""; !strings.HasSuffix(text, "id: e.0\n\n"); {
		text += idle.chunk()
	}
	start := time.Now()
	stalled := w.rawStream(t, getStream+"\r\n")
	_ = stalled.Conn.(*net.TCPConn).SetReadBuffer(16 << 10)
	value := []byte(quote(strings.Repeat("x", 60_000)))
	more := time.NewTicker(10 * time.Millisecond)
	defer more.Stop()
	for len(w.log.lines(t, "session closed")) == 0 {
		<-more.C
		if _, err := w.keyspace.Set(t.Context(), "k", value); err != nil {
			t.Fatal(err)
		}
		if time.Since(start) > patience {
			t.Fatal("a client that takes nothing is still there")
		}
	}
	if took := time.Since(start); took < transport.StallTimeout || took > transport.StallTimeout+4*time.Second {
		t.Errorf("closed after %v", took)
	}
	if e := w.log.lines(t, "session closed")[0]; e["code"] != 4008.0 || e["conflated"] == 0.0 {
		t.Errorf("logged %v", e)
	}
	rest, err := io.ReadAll(stalled.r)
	if err != nil || strings.Contains(string(rest), "event: end") || strings.HasSuffix(string(rest), "0\r\n\r\n") {
		t.Errorf("the rest ends with %q, %v", rest[max(0, len(rest)-80):], err)
	}

	if got := idle.chunk(); got != ":\n\n" || time.Since(begun) < 15*time.Second {
		t.Errorf("after %v came %q", time.Since(begun), got)
	}
}

// A stream whose client takes nothing is cut off at the end of the grace.
func TestAShutdownCutsOffAnEventStream(t *testing.T) {
	w := newWire(t, transport.Options{})
	for i := range 200 {
		if _, err := w.keyspace.Set(t.Context(), fmt.Sprint("k/", i), []byte(quote(strings.Repeat("x", 60_000)))); err != nil {
			t.Fatal(err)
		}
	}
	c := must(net.Dial("tcp", w.addr))
	_ = c.(*net.TCPConn).SetReadBuffer(16 << 10) // so that the kernel does not take everything
	s := newRawStream(t, c, "GET /events?pattern=%23&snapshot=true HTTP/1.1\r\nHost: localhost\r\n\r\n")
	transporttest.Eventually(t, "much of its snapshot waits", func() bool { return w.metric(t, "rtdb_pending_bytes") > 300_000 })
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := w.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v, want its context's error", err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("Shutdown took %v with a grace of 200 ms", took)
	}
	if rest, _ := io.ReadAll(s.r); strings.Contains(string(rest), "event: end") {
		t.Error("the end follows a torn event")
	}
	if n := w.Sessions(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

// An idle stream has one goroutine, and leaves nothing behind, however it ends.
func TestManyEventStreamsLeaveNothing(t *testing.T) {
	w := newWire(t, transport.Options{FlushInterval: transport.DefaultFlushInterval})
	const many = 300
	goroutines, sockets := runtime.NumGoroutine(), openSockets()
	streams := make([]*rawStream, many)
	for i := range streams {
		streams[i] = w.rawStream(t, getStream+"\r\n")
		streams[i].head()
	}
	transporttest.Eventually(t, "subscribed", func() bool { return w.metric(t, "rtdb_subscriptions") == many })
	transporttest.Eventually(t, "one goroutine each", func() bool {
		return runtime.NumGoroutine() <= goroutines+many+10
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i, s := range streams {
		if i%2 == 0 {
			_ = s.Close()
		}
	}
	w.log.await(t, "session closed", many/2)
	if err := w.EndSessions(ctx, "test"); err != nil {
		t.Error(err)
	}
	for i, s := range streams {
		if i%2 != 0 {
			rest := string(must(io.ReadAll(s.r)))
			if !strings.HasSuffix(rest, "event: end\ndata: {\"reason\":\"test\",\"code\":1012}\n\n\r\n0\r\n\r\n") {
				t.Errorf("a stream ends with %q", rest)
			}
			_ = s.Close()
		}
	}
	http.DefaultClient.CloseIdleConnections()
	wantAllGone(t, goroutines, sockets)
}
