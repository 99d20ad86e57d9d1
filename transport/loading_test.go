package transport_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/keyspace"
	"rtdb/transport"
)

// A loadingStore has keys, and loads the last of them only when released is closed.
type loadingStore struct {
	keyspace.Store
	keys     int
	released chan struct{}
}

func (s *loadingStore) Load(state keyspace.State) (keyspace.History, error) {
	for i := 1; i <= s.keys; i++ {
		if i == s.keys {
			<-s.released
		}
		err := state.Apply(&keyspace.Record{Key: fmt.Sprintf("k/%d", i), Value: []byte("1"), Version: uint64(i)})
		if err != nil {
			return keyspace.History{}, err
		}
	}
	return keyspace.History{Last: uint64(s.keys)}, nil
}

// newLoadingWire starts a server whose keyspace goes on to load until finish is called.
func newLoadingWire(t *testing.T, o transport.Options) (w *wire, finish func()) {
	t.Helper()
	const keys = 1000
	released := make(chan struct{})
	store := &gatedStore{Store: &loadingStore{Store: keyspace.NewMemory(keys + 1), keys: keys, released: released}}
	ks := keyspace.New(keyspace.Options{Store: store})
	w = serveKeyspace(t, ks, store, o)
	loaded := make(chan error, 1)
	go func() { loaded <- ks.Load() }()
	finish = sync.OnceFunc(func() {
		close(released)
		if err := <-loaded; err != nil {
			t.Errorf("Load: %v", err)
		}
	})
	t.Cleanup(finish)
	return w, finish
}

const loadingError = `"error":{"code":"unavailable","message":"the server is loading its state: try again"}`

// While the state is loaded, everybody but the operator is told to come back.
func TestAServerThatLoadsItsState(t *testing.T) {
	const page = "https://app.example"
	w, finish := newLoadingWire(t, transport.Options{
		AllowedOrigins: []string{page}, Level: &testLevel{level: "info"},
		Backup: failingBackup("", "it must not be called"),
	})
	w.want(t, "GET", "/healthz", "", 200, `{"status":"ok"}`)
	w.want(t, "GET", "/readyz", "", 503, `{"status":"loading",`+loadingError+`}`)
	for _, c := range []struct {
		method, path, body string
		headers            []string
	}{
		{method: "GET", path: "/readyz"},
		{method: "HEAD", path: "/readyz"},
		{method: "GET", path: "/data/k/1"},
		{method: "HEAD", path: "/data/k/1"},
		{method: "PUT", path: "/data/k/1", body: `{"value":2}`},
		{method: "PATCH", path: "/data/k/1", body: `{}`},
		{method: "DELETE", path: "/data/k/1"},
		{method: "OPTIONS", path: "/data/k/1"},
		{method: "GET", path: "/data"},
		{method: "POST", path: "/data", body: `{"items":[]}`},
		{method: "DELETE", path: "/data?prefix=k"},
		{method: "POST", path: "/topics/t", body: `{"value":1}`},
		{method: "GET", path: "/topics"},
		{method: "GET", path: "/backup"},
		{method: "GET", path: "/ws"},
		{method: "GET", path: "/ws", headers: asWebSocket},
		{method: "GET", path: "/events?key=k/1&snapshot=true"},
		{method: "GET", path: "/openapi.json"},
		{method: "GET", path: "/nothing"},
		{method: "GET", path: "/data/k/1", headers: []string{"Origin", page}},
	} {
		answer, text := w.call(t, c.method, c.path, c.body, c.headers...)
		if answer.StatusCode != 503 || answer.Header.Get("Retry-After") != "1" {
			t.Errorf("%s %s: %d with Retry-After %q, want 503 with 1", c.method, c.path, answer.StatusCode, answer.Header.Get("Retry-After"))
		}
		if c.method != "HEAD" && !strings.Contains(text, loadingError) {
			t.Errorf("%s %s: %s", c.method, c.path, text)
		}
		if allowed := answer.Header.Get("Access-Control-Allow-Origin"); (allowed == page) != (c.headers != nil && c.headers[0] == "Origin") {
			t.Errorf("%s %s: the page %q may read the answer", c.method, c.path, allowed)
		}
	}
	if _, answer, err := websocket.DefaultDialer.Dial("ws://"+w.addr+"/ws", nil); err == nil || answer.StatusCode != 503 {
		t.Errorf("a WebSocket: %v, want 503", err)
	}
	// An EventSource gives up for good if the status is not 200.
	answer, text := w.get(t, "/events?key=k/1&snapshot=true", "Accept", "text/event-stream", "Last-Event-ID", "e.7")
	if answer.StatusCode != 200 || !strings.HasPrefix(text, "retry: ") || !strings.HasSuffix(text, "\nevent: error\ndata: {"+loadingError+"}\n\n") {
		t.Errorf("an EventSource is answered %d %q", answer.StatusCode, text)
	}
	if n := w.metric(t, `rtdb_http_requests_total{code="503",route="/events"}`); n != 2 {
		t.Errorf("%v event streams were counted as refused, want 2", n)
	}
	answer, _ = w.call(t, "OPTIONS", "/data/k/1", "", "Origin", page, "Access-Control-Request-Method", "PUT")
	if answer.StatusCode != 204 || answer.Header.Get("Access-Control-Allow-Origin") != page {
		t.Errorf("a preflight: %d %v", answer.StatusCode, answer.Header)
	}
	wantOperator(t, w)

	finish()
	w.want(t, "GET", "/readyz", "", 200, `{"status":"ok"}`)
	w.want(t, "GET", "/data/k/1000", "", 200, `"value":1`)
	w.want(t, "GET", "/topics", "", 200, `{"items":[]}`)
	w.want(t, "PUT", "/data/k/1", `{"value":2}`, 200, `"version":1001`)
	w.dial(t).wantCode(`{"id":1,"action":"subscribe","pattern":"#"}`, "")
}

// wantOperator expects that the operator is answered. The operator may send headers.
func wantOperator(t *testing.T, w *wire, headers ...string) {
	t.Helper()
	for _, path := range []string{"/metrics", "/sessions", "/log-level", "/debug/pprof/", "/debug/pprof/goroutine?debug=1"} {
		if answer, text := w.call(t, "GET", path, "", headers...); answer.StatusCode != 200 {
			t.Errorf("GET %s: %d %s", path, answer.StatusCode, text)
		}
	}
}

// While the state is loaded, the operator needs the same rights as always.
func TestTheOperatorOfAServerThatLoads(t *testing.T) {
	admin := []string{"Authorization", "Bearer " + token(t, `{"admin":true}`, time.Hour)}
	o := transport.Options{Keys: testKeys(t), Level: &testLevel{level: "info"}}
	w, _ := newLoadingWire(t, o)
	wantOperator(t, w, admin...)
	w.wantTry(t, "401 unauthorized", "GET", "/metrics", "")
	w.wantTry(t, "403 forbidden", "GET", "/metrics", "", "Authorization", "Bearer "+token(t, `{"read":["#"]}`, time.Hour))
	if answer, _ := w.call(t, "GET", "/data/k/1", ""); answer.StatusCode != 503 { // whether it has a token or not
		t.Errorf("GET without a token: %d, want 503", answer.StatusCode)
	}

	o.Admin = true
	w, _ = newLoadingWire(t, o)
	operator := *w
	operator.addr = w.adminListener(t)
	wantOperator(t, &operator)
	operator.want(t, "GET", "/topics", "", 503, loadingError)
	operator.want(t, "GET", "/nothing", "", 404, "not_found")
}

// A server can be shut down while its state is loaded. From then on it says that it is
// shutting down.
func TestShutdownWhileTheStateIsLoaded(t *testing.T) {
	w, _ := newLoadingWire(t, transport.Options{})
	other := httptest.NewServer(w.Server) // its listener stays open
	defer other.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if w.keyspace.Loaded() {
		t.Fatal("the state was loaded before the test was done")
	}
	w.addr = strings.TrimPrefix(other.URL, "http://")
	for _, path := range []string{"/readyz", "/data/k/1", "/events?key=k"} {
		w.want(t, "GET", path, "", 503, `{"error":{"code":"unavailable","message":"the server is shutting down`)
	}
	w.want(t, "GET", "/healthz", "", 200, "ok")
	http.DefaultClient.CloseIdleConnections()
}

// While the store has no room, values are refused, and everything else goes on.
func TestInsufficientStorage(t *testing.T) {
	var refusal atomic.Pointer[error]
	w := newWireOn(t, keyspace.Options{Refuse: func() error {
		if err := refusal.Load(); err != nil {
			return *err
		}
		return nil
	}}, transport.Options{})
	set := func(err error) { refusal.Store(&err) }
	for _, key := range []string{"a", "b", "c", "d"} {
		w.want(t, "PUT", "/data/"+key, `{"value":{}}`, 200, "")
	}
	w.settle()
	p := w.dial(t)
	p.ask(`{"id":1,"action":"subscribe","key":"a"}`, `{"id":1,"ok":true,"revision":4,"epoch":"e"}`)
	w.want(t, "GET", "/readyz", "", 200, `{"status":"ok"}`)

	set(fmt.Errorf("%w: 1 MiB is free", keyspace.ErrInsufficientStorage))
	const full = `"error":{"code":"unavailable","message":"insufficient storage: the server's disk is nearly full, ` +
		`so no value was written: free space on the disk, or delete keys, and try again; reads and deletes go on"}`
	w.want(t, "GET", "/readyz", "", 503, `{"status":"insufficient storage",`+full+`}`)
	w.want(t, "GET", "/healthz", "", 200, "ok")
	for _, c := range []struct{ method, path, body string }{
		{"PUT", "/data/a", `{"value":1}`},
		{"POST", "/data/new", `{"value":1}`},
		{"PATCH", "/data/a", `{"a":1}`},
		{"GET", "/readyz", ""},
	} {
		answer, text := w.call(t, c.method, c.path, c.body)
		if answer.StatusCode != 503 || !strings.Contains(text, full) || answer.Header.Get("Retry-After") != "10" {
			t.Errorf("%s %s: %d %v %s", c.method, c.path, answer.StatusCode, answer.Header, text)
		}
	}
	w.want(t, "POST", "/data", `{"items":[{"key":"a","value":1},{"key":"b","delete":true},{"key":"c","touch":true,"ttl":60}]}`,
		200, `{"results":[{"key":"a",`+full+`},{"key":"b","version":5},{"key":"c",`+full+`}]}`)
	for _, request := range []string{`"action":"set","value":1`, `"action":"patch","value":{}`, `"action":"touch","ttl":60`} {
		p.ask(`{"id":2,"key":"a",`+request+`}`, `{"id":2,`+full+`}`)
	}
	p.ask(`{"action":"set","key":"a","value":1}`, `{`+full+`,"action":"set","key":"a"}`)
	if n := w.metric(t, `rtdb_writes_total{result="unavailable"}`); n != 9 {
		t.Errorf("%v writes were counted as refused, want 9", n)
	}
	w.want(t, "GET", "/data/a", "", 200, `{"key":"a","value":{},"version":1`)
	w.want(t, "DELETE", "/data?prefix=c", "", 200, `{"deleted":1}`)
	w.want(t, "POST", "/topics/t", `{"value":1}`, 202, "")
	w.want(t, "DELETE", "/data/a", "", 204, "")
	p.want(`{"key":"a","value":null,"deleted":true}`)

	set(fmt.Errorf("the feed is behind"))
	w.want(t, "GET", "/readyz", "", 503, `{"status":"refusing writes","error":{"code":"unavailable","message":"the store takes no values: the feed is behind; `)
	w.want(t, "PUT", "/data/a", `{"value":1}`, 503, `"code":"unavailable"`)

	set(nil)
	w.want(t, "GET", "/readyz", "", 200, `{"status":"ok"}`)
	w.want(t, "PUT", "/data/a", `{"value":1}`, 200, "")
	p.want(`{"key":"a","value":1}`)
}
