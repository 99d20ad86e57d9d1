package transport_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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

	// The server notices that a client has disconnected.
	live.end()
	closed := w.log.await(t, "session closed", 1)[0]
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

// The id of an event, a revision and its epoch say from where a stream goes on. What
// belongs to another history leads to a reset.
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
