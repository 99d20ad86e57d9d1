package transport_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/keyspace"
	"rtdb/transport"
)

func TestAnEventStreamFromItsSnapshotToShutdown(t *testing.T) {
	w := newWire(t, transport.Options{})
	w.want(t, "POST", "/data/a/1", `{"value":1}`, 200, "")
	w.want(t, "POST", "/data/b", `{"value":{"x":"line\nfeed"}}`, 200, "")

	w.settle()
	live := w.feed(t, "pattern=a/%2B&key=b&topic=t")
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no",
	} {
		if got := live.head.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	live.want("id: e.2") // only an id to resume from
	all := w.feed(t, "pattern=a/%2B&key=b&snapshot=true&topic=t")
	all.want(`id: e.0|data: {"key":"a/1","value":1}`, `id: e.0|data: {"key":"b","value":{"x":"line\nfeed"}}`,
		`id: e.2|event: synced|data: {"synced":true,"revision":2,"epoch":"e"}`)
	since := w.feed(t, "pattern=%23&since=1")
	since.want(`id: 1|data: {"key":"b","value":{"x":"line\nfeed"}}`, `id: e.2|event: synced|data: {"synced":true,"revision":2,"epoch":"e"}`)

	w.want(t, "DELETE", "/data/b", "", 204, "")
	w.settle()
	w.want(t, "POST", "/data/a/2", `{"value":"\u00e9"}`, 200, "")
	w.settle()
	w.want(t, "POST", "/topics/t", `{"value":"hello"}`, 202, "")
	for _, f := range []*feed{live, all} {
		f.want(`id: e.3|data: {"key":"b","value":null,"deleted":true}`, `id: e.4|data: {"key":"a/2","value":"\u00e9"}`,
			`id: e.4|data: {"topic":"t","value":"hello"}`)
	}
	since.want(`id: e.3|data: {"key":"b","value":null,"deleted":true}`, `id: e.4|data: {"key":"a/2","value":"\u00e9"}`)

	// A browser reconnects to the same address with the last id that it got.
	again := w.feed(t, "pattern=%23&since=1&snapshot=true", "Last-Event-ID", "3")
	again.want(`id: 3|data: {"key":"a/2","value":"\u00e9"}`, `id: e.4|event: synced|data: {"synced":true,"revision":4,"epoch":"e"}`)
	reset := w.feed(t, "key=a/1", "Last-Event-ID", "99")
	reset.want(`id: 99|data: {"key":"a/1","value":1}`, `id: e.4|event: synced|data: {"synced":true,"revision":4,"epoch":"e","reset":true}`)
	if n := w.Sessions(); n != 5 {
		t.Errorf("%d sessions, want 5", n)
	}

	// A library in place of EventSource sends the id in the query. The header is newer.
	for _, c := range []struct{ query, header string }{
		{"lastEventId=3", ""}, {"since=1&lastEventId=3", ""}, {"lastEventId=1", "3"}, {"lastEventId=x", "3"}, {"since=3&lastEventId=", ""},
	} {
		f := w.feed(t, "pattern=%23&"+c.query, "Last-Event-ID", c.header)
		f.want(`id: 3|data: {"key":"a/2","value":"\u00e9"}`, `id: e.4|event: synced|data: {"synced":true,"revision":4,"epoch":"e"}`)
		f.end()
	}
	w.feed(t, "key=a/1&lastEventId=").want("id: e.4")
	w.want(t, "GET", "/events?key=a/1&lastEventId=1&lastEventId=2", "", 400, "lastEventId")
	w.log.await(t, "session closed", 5)

	// The server notices that a client has disconnected.
	live.end()
	closed := w.log.await(t, "session closed", 6)[5]
	if closed["route"] != "/events" || closed["reason"] != "connection lost" || closed["delivered"] != 3.0 || closed["dropped"] != 0.0 {
		t.Errorf("logged %v", closed)
	}

	// A shutdown ends the response cleanly.
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		ended <- w.Shutdown(ctx)
	}()
	all.wantEnd(1012, "server is shutting down: reconnect")
	for _, f := range []*feed{since, again, reset} {
		if _, err := io.ReadAll(f.r); err != nil {
			t.Error(err)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, e := range w.log.lines(t, "session closed")[6:] {
		if e["code"] != 1012.0 {
			t.Errorf("logged %v", e)
		}
	}
}

// The id of an event, a revision and its epoch say at which point a stream goes on. What
// belongs to another history leads to a reset.
// A client may ask for the form of updates that WebSockets with rtdb.v1 get.
func TestAnEventStreamWithVersions(t *testing.T) {
	w := newWire(t, transport.Options{})
	w.want(t, "POST", "/data/k", `{"value":1}`, 200, "")
	w.settle()
	f := w.feed(t, "key=k&topic=t&snapshot=true&protocol=rtdb.v1")
	f.want(`id: e.0|data: {"key":"k","value":1,"version":1,"at":1000}`, `id: e.1|event: synced|data: {"synced":true,"revision":1,"epoch":"e"}`)
	w.want(t, "DELETE", "/data/k", "", 204, "")
	w.settle()
	w.want(t, "POST", "/topics/t", `{"value":1}`, 202, "")
	f.want(`id: e.2|data: {"key":"k","value":null,"deleted":true,"version":2,"at":2000}`, `id: e.2|data: {"topic":"t","value":1}`)
	for _, query := range []string{"protocol=", "protocol=rtdb.v2", "protocol=rtdb.v1&protocol=rtdb.v1"} {
		w.want(t, "GET", "/events?key=k&"+query, "", 400, `"code":"invalid_request"`)
	}
}

func TestAnEventStreamResumesFromAnID(t *testing.T) {
	w := newWire(t, transport.Options{})
	for key, value := range map[string]string{"a/1": "1", "b": "2"} {
		w.want(t, "PUT", "/data/"+key, `{"value":`+value+`}`, 200, "")
	}
	w.want(t, "DELETE", "/data/b", "", 204, "")
	w.want(t, "PUT", "/data/a/2", `{"value":"\u00e9"}`, 200, "")
	w.settle()
	const everything = `id: e.4|event: synced|data: {"synced":true,"revision":4,"epoch":"e","reset":true}`
	// A browser would give up the stream if a strange id were an error.
	for _, id := range []string{"x", "another.4", "e.-1", "e.", "-.0", strings.Repeat("x", 5000)} {
		w.feed(t, "key=a/1", "Last-Event-ID", id).want(`id: -.0|data: {"key":"a/1","value":1}`, everything)
		w.feed(t, "key=a/1&lastEventId="+id).want(`id: -.0|data: {"key":"a/1","value":1}`, everything)
	}
	w.feed(t, "key=a/1&since=4&epoch=another%0Adata:x").want(`id: -.0|data: {"key":"a/1","value":1}`, everything)
	for _, query := range []string{"since=e.3", "since=3&epoch=e", "lastEventId=e.3&since=1"} {
		w.feed(t, "pattern=a/%23&"+query).want(`id: e.3|data: {"key":"a/2","value":"\u00e9"}`,
			`id: e.4|event: synced|data: {"synced":true,"revision":4,"epoch":"e"}`)
	}
	last := w.feed(t, "pattern=%23&topicPattern=%23&snapshot=true&last=1")
	last.want(`id: e.0|data: {"key":"a/2","value":"\u00e9"}`, `id: e.4|event: synced|data: {"synced":true,"revision":4,"epoch":"e"}`)
	w.want(t, "POST", "/topics/any", `{"value":1}`, 202, "")
	last.want(`id: e.4|data: {"topic":"any","value":1}`)
}

// Invalid UTF-8 in a name is refused. A request whose body never comes is answered,
// and does not hold up a shutdown.
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
		t.Fatalf("a request whose body is missing is answered %q, %v", line, err)
	}
	w.log.await(t, "session opened", 1)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// A client that ends its stream over HTTP/2 is not an internal error, for which an alert
// fires, although net/http's write fails with an error of its own.
func TestAClientEndsItsEventStreamOverHTTP2(t *testing.T) {
	w := newWire(t, transport.Options{})
	server := httptest.NewUnstartedServer(w.Server)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	client := server.Client()
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for value := `{"value":"` + strings.Repeat("x", 60_000) + `"}`; ; {
			select {
			case <-stop:
				return
			default:
				w.want(t, "PUT", "/data/k", value, 200, "")
			}
		}
	})
	const streams = 40
	for range streams {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/events?key=k", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		for line, lines := "", bufio.NewReader(answer.Body); !strings.HasPrefix(line, "data: "); {
			if line, err = lines.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		_ = answer.Body.Close()
	}
	for _, e := range w.log.await(t, "session closed", streams) {
		if e["reason"] != "connection lost" {
			t.Errorf("a stream ended with %v", e)
		}
	}
	close(stop)
	writing.Wait()
	client.CloseIdleConnections()
}

// A stream sends a comment every 15 s. It ends if the client takes no bytes.
func TestAnEventStreamSendsCommentsAndEndsIfItStalls(t *testing.T) {
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
		<-reading // from now on the client takes nothing
		time.Sleep(transport.StallTimeout + 20*time.Second)
		synctest.Wait()
		if e := p.log.lines(t, "session closed"); len(e) != 1 || e[0]["reason"] != "too slow" {
			t.Errorf("logged %v", e)
		}
		_ = ours.Close()
		synctest.Wait()
	})
}

// An EventSource gives up for good if the status is not 200. If it is refused for a
// while, it is told so by an event, and comes back. Other clients get the status.
func TestAnEventSourceThatIsRefusedForAWhileComesBack(t *testing.T) {
	t.Parallel()
	crowded := atomic.Bool{}
	full := newWire(t, transport.Options{MaxSessions: 1, AllowedOrigins: []string{"https://app.example"}})
	full.feed(t, "key=k").want("id: e.0")
	short := newWire(t, transport.Options{Crowded: crowded.Load})
	crowded.Store(true)
	limited := newWire(t, transport.Options{MaxRequestRate: 1e-3})
	limited.want(t, "GET", "/data/k", "", 404, "")
	leaving := newWire(t, transport.Options{AllowedOrigins: []string{"https://app.example"}})
	gate, arrived := make(chan struct{}), make(chan struct{})
	leaving.store.hold(func(keyspace.Record) { close(arrived); <-gate })
	leaving.dial(t).send(`{"action":"set","key":"k","value":1}`)
	<-arrived
	release := sync.OnceFunc(func() { close(gate) })
	t.Cleanup(release)
	ended := leaving.startShutdown(t, patience)

	for name, c := range map[string]struct {
		w            *wire
		status, code string
		least, most  time.Duration // to wait
	}{
		"too many sessions": {full, "503", "limit_reached", time.Second, 12 * time.Second},
		"no memory":         {short, "503", "limit_reached", time.Second, 12 * time.Second},
		"too many requests": {limited, "429", "rate_limited", 900 * time.Second, 1002 * time.Second},
		"shutting down":     {leaving, "503", "unavailable", time.Second, 3 * time.Second},
	} {
		const query = "/events?key=k&snapshot=true"
		head := regexp.MustCompile(`^retry: (\d+)\n(id: 7\n)?event: error\ndata: (\{"error":.*\})\n\n$`)
		for i, headers := range [][]string{
			{"Accept", "text/event-stream"},
			{"Accept", "text/event-stream", "Last-Event-ID", "7"},
			{"Accept", "application/json, TEXT/Event-Stream;q=0.9", "Accept", "*/*"},
			{"Accept", "text/html", "Accept", "text/event-stream"},
		} {
			answer, text := c.w.get(t, query, headers...)
			m := head.FindStringSubmatch(text)
			if answer.StatusCode != 200 || m == nil || errorCode(t, m[3]) != c.code || (m[2] != "") != (i == 1) {
				t.Fatalf("%s, %q: %d %q", name, headers, answer.StatusCode, text)
			}
			if wait := time.Duration(must(strconv.Atoi(m[1]))) * time.Millisecond; wait < c.least || wait > c.most {
				t.Errorf("%s: retry after %v, want %v to %v", name, wait, c.least, c.most)
			}
			h := answer.Header
			if h.Get("Content-Type") != "text/event-stream" || h.Get("Cache-Control") != "no-store, no-transform" || h.Get("X-Accel-Buffering") != "no" || h.Get("Retry-After") != "" {
				t.Errorf("%s: %v", name, h)
			}
		}
		if c.code != "limit_reached" { // otherwise the id is looked at before the limit
			_, text := c.w.get(t, query+"&lastEventId=7%0A", "Accept", "text/event-stream")
			if m := head.FindStringSubmatch(text); m == nil || m[2] != "" {
				t.Errorf("%s, with a malformed id: %q", name, text)
			}
		}
		_, text := c.w.get(t, query+"&lastEventId=7", "Accept", "text/event-stream")
		if m := head.FindStringSubmatch(text); m == nil || m[2] == "" {
			t.Errorf("%s, with lastEventId: %q", name, text)
		}
		for _, headers := range [][]string{nil, {"Accept", "*/*"}, {"Accept", "text/*"}, {"Accept", "text/event-stream;q=0"}, {"Accept", "text/event-streams"}} {
			answer, text := c.w.get(t, query, headers...)
			if fmt.Sprint(answer.StatusCode) != c.status || errorCode(t, text) != c.code || answer.Header.Get("Retry-After") == "" {
				t.Errorf("%s, %q: %d %s %v", name, headers, answer.StatusCode, text, answer.Header)
			}
		}
		for _, call := range [][2]string{{"HEAD", query}, {"GET", "/data/k"}, {"GET", "/ws"}} {
			got := c.w.with(t, call[0], call[1], "", "Accept", "text/event-stream").StatusCode
			if takesNoPlace := call[0] == "HEAD" && c.code == "limit_reached"; (got == 200) != takesNoPlace {
				t.Errorf("%s: %s %s is answered %d", name, call[0], call[1], got)
			}
		}
		refused := 0
		for _, e := range c.w.log.lines(t, "http request") {
			if e["route"] == "/events" && e["status"] == 200.0 && e["code"] == c.code && strings.HasPrefix(e["error"].(string), c.code) {
				refused++
			}
		}
		if refused < 5 || refused > 6 {
			t.Errorf("%s: %d refused streams in the log, want 5 or 6:\n%s", name, refused, c.w.log.text())
		}
	}

	// Metrics have the status that it would have been.
	_, text := full.call(t, "GET", "/metrics", "")
	if !strings.Contains(text, `rtdb_http_requests_total{code="503",route="/events"} 10`) {
		t.Errorf("metrics: %s", text)
	}
	// A page of another origin can read it, even while the server is shutting down.
	for name, w := range map[string]*wire{"full": full, "leaving": leaving} {
		answer, _ := w.get(t, "/events?key=k", "Accept", "text/event-stream", "Origin", "https://app.example")
		other, _ := w.get(t, "/events?key=k", "Accept", "text/event-stream", "Origin", "https://evil.example")
		if answer.StatusCode != 200 || answer.Header.Get("Access-Control-Allow-Origin") != "https://app.example" || other.StatusCode != 403 {
			t.Errorf("%s: %d %v, and %d to another page", name, answer.StatusCode, answer.Header, other.StatusCode)
		}
		asks := w.with(t, "OPTIONS", "/data/k", "", "Origin", "https://app.example", "Access-Control-Request-Method", "PUT")
		writes := w.with(t, "PUT", "/data/k", `{"value":1}`, "Origin", "https://app.example", "If-Match", "x")
		if asks.StatusCode != 204 || asks.Header.Get("Access-Control-Allow-Methods") == "" || writes.Header.Get("Access-Control-Allow-Origin") == "" {
			t.Errorf("%s: a page asks: %d %v, and writes: %v", name, asks.StatusCode, asks.Header, writes.Header)
		}
	}
	release()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Refusals that another try does not change keep their status, so that an EventSource
// gives up.
func TestAnEventSourceThatIsRefusedForGoodGivesUp(t *testing.T) {
	w := newWire(t, transport.Options{Keys: testKeys(t), MaxSubscriptions: 1})
	bearer := "Bearer " + token(t, `{"read":["a"]}`, time.Hour)
	for _, c := range []struct {
		path, authorization, origin string
		status                      int
	}{
		{"/events?key=a", "", "", 401}, {"/events?key=a", "Bearer x", "", 401}, {"/events?key=b", bearer, "", 403},
		{"/events?key=a", bearer, "https://evil.example", 403}, {"/events", bearer, "", 400}, {"/events?key=a//b", bearer, "", 400},
		{"/events?key=a&x=1", bearer, "", 400}, {"/events/x", bearer, "", 404}, {"/events?key=a&pattern=a", bearer, "", 429},
	} {
		headers := []string{"Accept", "text/event-stream"}
		for name, value := range map[string]string{"Authorization": c.authorization, "Origin": c.origin} {
			if value != "" {
				headers = append(headers, name, value)
			}
		}
		if answer := w.with(t, "GET", c.path, "", headers...); answer.StatusCode != c.status {
			t.Errorf("%s with %q from %q: %d, want %d", c.path, c.authorization, c.origin, answer.StatusCode, c.status)
		}
	}
}

// The last event says why the server ends a stream. It comes after everything that waits,
// and has no id.
func TestAnEventStreamSaysWhyItEnds(t *testing.T) {
	w := newWire(t, transport.Options{})
	f := w.feed(t, "topic=t")
	f.want("id: e.0")
	id := w.log.await(t, "session opened", 1)[0]["session"].(string)
	const n = 2000
	value := quote(strings.Repeat("x", 400))
	for range n { // the client reads none of them yet
		w.want(t, "POST", "/topics/t", `{"value":`+value+`}`, 202, "")
	}
	w.dial(t).ask(`{"action":"subscribe","topic":"t","id":1}`, `{"id":1,"ok":true,"revision":0,"epoch":"e"}`) // now they wait
	w.want(t, "DELETE", "/sessions/"+id, "", 204, "")
	for range n {
		f.want(`id: e.0|data: {"topic":"t","value":` + value + `}`)
	}
	f.wantEnd(4009, "kicked")

	gone := w.feed(t, "key=k")
	gone.want("id: e.0")
	gone.end()
	for _, e := range w.log.await(t, "session closed", 2) {
		if e["error"] != nil {
			t.Errorf("logged %v", e)
		}
	}
}

// A client that keeps its connection can use it again after its stream has ended, if the
// connection was not taken over.
func TestAConnectionIsUsedAgainAfterAStream(t *testing.T) {
	w := newWire(t, transport.Options{})
	c := must(tls.Dial("tcp", w.listen(t, w.Serve, true).Addr().String(), clientTLS))
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(c)
	ask := func(path string) *http.Response {
		t.Helper()
		_, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
		answer, read := http.ReadResponse(r, nil)
		if err != nil || read != nil {
			t.Fatal(err, read)
		}
		return answer
	}
	for i := range 100 {
		stream := ask("/events?key=k&snapshot=true")
		f := &feed{t: t, r: bufio.NewReader(stream.Body)}
		f.block()
		f.want(`id: e.0|event: synced|data: {"synced":true,"revision":0,"epoch":"e"}`)
		w.want(t, "DELETE", "/sessions/"+w.log.await(t, "session opened", i+1)[i]["session"].(string), "", 204, "")
		f.wantEnd(4009, "kicked")
		answer := ask("/data/k")
		if text := must(io.ReadAll(answer.Body)); answer.StatusCode != 404 {
			t.Errorf("a read is answered %d %s", answer.StatusCode, text)
		}
	}
}

// A client that takes nothing has its last event torn, so nothing is written behind it.
// It holds up a kick no longer than before.
func TestNothingIsWrittenBehindATornEvent(t *testing.T) {
	inBubble(t, func(t *testing.T, p *piped) {
		if _, err := p.keyspace.Set(t.Context(), "k", []byte(quote(strings.Repeat("x", 10_000)))); err != nil {
			t.Fatal(err)
		}
		ours, theirs := net.Pipe()
		p.listener.accept <- theirs
		if _, err := io.WriteString(ours, "GET /events?key=k&snapshot=true HTTP/1.0\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, 6000)
		if _, err := io.ReadFull(ours, buffer); err != nil {
			t.Fatal(err)
		}
		time.Sleep(transport.StallTimeout + time.Second)
		synctest.Wait()
		if e := p.log.lines(t, "session closed"); len(e) != 1 || e[0]["code"] != 4008.0 {
			t.Errorf("logged %v", e)
		}
		if rest, err := io.ReadAll(ours); err != nil || strings.Contains(string(rest), "event: end") {
			t.Errorf("the rest is %.100q, %v", rest, err)
		}
	})
}

// A client that takes nothing holds up the end of its stream for a second.
func TestTheLastEventDoesNotHoldUpAShutdown(t *testing.T) {
	inBubble(t, func(t *testing.T, p *piped) {
		ours, theirs := net.Pipe()
		p.listener.accept <- theirs
		if _, err := io.WriteString(ours, "GET /events?key=k HTTP/1.0\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(ours)
		for line := ""; !strings.HasPrefix(line, "id: "); {
			var err error
			if line, err = r.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		start := time.Now()
		if err := p.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 2*transport.CloseTimeout {
			t.Errorf("the shutdown took %v", took)
		}
		_ = ours.Close()
	})
}

// Updates that a slow stream gets in the place of older ones do not promise, by their ids, updates
// that come behind them.
func TestAnIDPromisesNothingThatComesLater(t *testing.T) {
	w := newWire(t, transport.Options{})
	stream := w.feed(t, "pattern=%23&protocol=rtdb.v1")
	stream.want("id: e.0")
	const keys, rounds = 400, 5
	padding := strings.Repeat("x", 20<<10) // the client's system takes less than all of it
	random, last := rand.New(rand.NewPCG(0, 0)), uint64(0)
	for range rounds {
		for _, i := range random.Perm(keys) {
			var err error
			if last, err = w.keyspace.Set(t.Context(), fmt.Sprint("k", i), fmt.Appendf(nil, "%q", padding)); err != nil {
				t.Fatal(err)
			}
		}
	}
	promised, events := uint64(0), 0
	for version := uint64(0); version != last; events++ {
		var id uint64
		var update struct{ Version uint64 }
		head, data, _ := strings.Cut(stream.block(), "|data: ")
		_, err := fmt.Sscanf(head, "id: e.%d", &id)
		if err = errors.Join(err, json.Unmarshal([]byte(data), &update)); err != nil {
			t.Fatal(head, err)
		}
		version = update.Version
		if version <= promised || id < promised {
			t.Fatalf("the update %d, with the id %d, comes behind the id %d", version, id, promised)
		}
		promised = id
	}
	if events == keys*rounds {
		t.Error("no update took the place of another one")
	}
}
