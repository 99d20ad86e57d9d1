package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"net/http/httptest"

	"rtdb/transport"
	"rtdb/transport/client"
	"rtdb/transport/transporttest"
)

// A server with keys: a refused token ends Dial at once, a token renews over the
// connection, and its grants count.
func TestTokensOfARealServer(t *testing.T) {
	s := transporttest.NewServer(t, transport.Options{Keys: transporttest.Keys(t)})
	token := func(text string) client.Option {
		return client.WithToken(func(context.Context) (string, error) { return text, nil })
	}
	began := time.Now()
	if _, err := client.Dial(timeout(t), s.URL(), token("nonsense")); !errors.Is(err, client.ErrUnauthorized) || time.Since(began) > patience/2 {
		t.Errorf("Dial with a wrong token: %v", err)
	}
	if _, err := client.Dial(timeout(t), s.URL(), client.WithName("n")); !errors.Is(err, client.ErrUnauthorized) {
		t.Errorf("Dial without a token: %v", err)
	}
	ctx := timeout(t)
	reader := dial(t, s.URL(), token(transporttest.Token(t, "reader", `{"read":["a/#"]}`, time.Hour)))
	if _, err := client.Set(ctx, reader, "a/1", 1); !errors.Is(err, client.ErrForbidden) || !strings.Contains(err.Error(), `"a/1"`) {
		t.Errorf("a write: %v", err)
	}
	if err := pull(t, client.Watch[int](ctx, reader, "#")).fails(); !errors.Is(err, client.ErrForbidden) {
		t.Errorf("a watch: %v", err)
	}
	for _, err := range client.List[int](ctx, reader, client.ListOptions{Prefix: "b"}) {
		if !errors.Is(err, client.ErrForbidden) {
			t.Errorf("a list: %v", err)
		}
	}
	for _, err := range client.List[int](ctx, reader, client.ListOptions{Pattern: "a/#"}) {
		t.Errorf("a list: %v", err)
	}

	// The first token is announced at once, because it lives less than 30 s. The second one
	// covers less.
	var mu sync.Mutex
	asked := 0
	renewing := dial(t, s.URL(), client.WithName("n"), client.WithToken(func(context.Context) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if asked++; asked == 1 {
			return transporttest.Token(t, "first", `{"read":["a/#","b/#"],"write":["#"]}`, 3*time.Second), nil
		}
		return transporttest.Token(t, "second", `{"read":["a/#"],"write":["#"]}`, time.Hour), nil
	}))
	a, b := client.NewView[int](ctx, renewing, "a/#"), client.NewView[int](ctx, renewing, "b/#")
	defer a.Close()
	defer b.Close()
	if err := b.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	transporttest.Eventually(t, "the new token ends a subscription", func() bool { return errors.Is(b.Err(), client.ErrForbidden) })
	if err := a.Err(); err != nil || a.Stale() {
		t.Errorf("the other view: %v, stale %t", err, a.Stale())
	}
	if _, err := client.Set(ctx, renewing, "a/1", 1); err != nil {
		t.Error(err)
	}
	transporttest.Eventually(t, "the other view goes on", func() bool { _, ok := a.Get("a/1"); return ok })
}

// Below a path of a proxy with TLS, and at a Unix socket.
func TestOtherAddresses(t *testing.T) {
	s := transporttest.NewServer(t, transport.Options{})
	proxy := httptest.NewTLSServer(http.StripPrefix("/db", &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(must(url.Parse(s.URL())))
	}}))
	t.Cleanup(proxy.Close)
	check := func(c *client.Client) {
		t.Helper()
		ctx := timeout(t)
		if _, err := client.Set(ctx, c, "a", 1); err != nil {
			t.Error(err)
		}
		if n, err := list(ctx, c); n != 1 || err != nil {
			t.Errorf("List: %d, %v", n, err)
		}
	}
	for _, at := range []string{proxy.URL + "/db", proxy.URL + "/db/", "wss" + strings.TrimPrefix(proxy.URL, "https") + "/db/ws"} {
		check(dial(t, at, client.WithHTTPClient(proxy.Client())))
	}
	if _, err := client.Dial(timeout(t), proxy.URL+"/db"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("Dial without the certificate: %v", err)
	}
	if _, err := client.Dial(timeout(t), "https://"+s.Addr); err == nil || !strings.Contains(err.Error(), "HTTP") {
		t.Errorf("Dial with https to a server without TLS: %v", err)
	}
	if _, err := client.Dial(timeout(t), proxy.URL+"/elsewhere", client.WithHTTPClient(proxy.Client())); !errors.Is(err, client.ErrNotRTDB) {
		t.Errorf("Dial of another path: %v", err)
	}

	path := filepath.Join(t.TempDir(), "s")
	l := must(net.Listen("unix", path))
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l) })
	t.Cleanup(func() { s.Stop(); serving.Wait() })
	check(dial(t, "http://localhost", client.WithSocket(path)))
	proxy.Client().CloseIdleConnections()
}

// A server that does not answer the close frame delays Close by a second.
func TestCloseOfAStalledConnection(t *testing.T) {
	t.Parallel()
	s := transporttest.NewServer(t, transport.Options{})
	p := transporttest.NewProxy(t, s.Addr)
	c := dial(t, p.URL())
	p.Stall(true)
	written := begin(func() error { _, err := client.Set(t.Context(), c, "a", strings.Repeat("x", 60_000)); return err })
	began := time.Now()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("Close took %v", took)
	}
	if got := <-written; !errors.Is(got.err, client.ErrClosed) {
		t.Errorf("the write: %v", got.err)
	}
}

// Close keeps the wills from being carried out also while requests are under way.
func TestCloseAmongRequests(t *testing.T) {
	t.Parallel()
	s := transporttest.NewServer(t, transport.Options{})
	for range 30 {
		c := dial(t, s.URL())
		must(c.Will(timeout(t), client.Will{Key: "will", Value: "carried out"}))
		var writers sync.WaitGroup
		for range 8 {
			writers.Go(func() {
				for {
					if _, err := client.Set(t.Context(), c, "a", 1); err != nil {
						if !errors.Is(err, client.ErrClosed) {
							t.Errorf("a write: %v", err)
						}
						return
					}
				}
			})
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		writers.Wait()
	}
	transporttest.Eventually(t, "all sessions have ended", func() bool {
		response := must(http.Get(s.URL() + "/sessions"))
		defer response.Body.Close()
		return string(must(io.ReadAll(response.Body))) == `{"sessions":[]}`
	})
	http.DefaultClient.CloseIdleConnections()
	if e, err := s.Keyspace.Get("will"); err == nil {
		t.Errorf("the will was carried out: %s", e.Value)
	}
}

// While a server is behind others, it takes requests, and views of it are stale: those that
// were open, and those of a client that connects then.
func TestARealServerThatIsBehind(t *testing.T) {
	t.Parallel()
	s := transporttest.NewServer(t, transport.Options{})
	ctx := timeout(t)
	early := dial(t, s.URL())
	v := client.NewView[int](ctx, early, "a")
	defer v.Close()
	if err := v.Ready(ctx); err != nil || v.Stale() {
		t.Fatalf("Ready: %v, stale %t", err, v.Stale())
	}
	s.Stale(time.Now())
	transporttest.Eventually(t, "the view is stale", v.Stale)
	if _, err := client.Set(ctx, early, "a", 1); err != nil {
		t.Error(err)
	}
	late := client.NewView[int](ctx, dial(t, s.URL(), client.WithName("n")), "a")
	defer late.Close()
	if err := late.Ready(ctx); err != nil || !late.Stale() {
		t.Errorf("Ready of a client that connects then: %v, stale %t", err, late.Stale())
	}
	if e, ok := late.Get("a"); !ok || e.Value != 1 {
		t.Errorf("the view has %v", e)
	}
	s.Fresh()
	transporttest.Eventually(t, "the views are current", func() bool { return !v.Stale() && !late.Stale() })
}
