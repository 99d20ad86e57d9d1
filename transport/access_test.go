package transport_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/transport"
	"rtdb/transport/auth"
	"rtdb/transport/transporttest"
)

const testSecret = transporttest.Secret

func testKeys(t testing.TB) *auth.Keys {
	t.Helper()
	keys, err := auth.SecretKeys(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// token makes one with the grants, the claim rtdb as JSON.
func token(t testing.TB, grants string, ttl time.Duration) string {
	t.Helper()
	signer, err := auth.SecretSigner(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	g, err := auth.ParseGrants([]byte(grants))
	if err != nil {
		t.Fatal(err)
	}
	text, err := signer.Sign("", g, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// dialAs opens a WebSocket with a token in the header; "" is none.
func (w *wire) dialAs(t testing.TB, token string) *peer {
	t.Helper()
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	c, _, err := websocket.DefaultDialer.Dial("ws://"+w.addr+"/ws", header)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &peer{c, t}
}

// wantCode sends a request with an id and wants an error, or "" for none.
func (p *peer) wantCode(message, code string) {
	p.t.Helper()
	p.send(message)
	if got := p.receive(); errorCode(p.t, got) != code {
		p.t.Errorf("%s is answered %s, want code %q", message, got, code)
	}
}

func TestEachCallNeedsItsGrant(t *testing.T) {
	w := newWire(t, transport.Options{Keys: testKeys(t)})
	for _, key := range []string{"devices/1", "devices/1/set", "other"} {
		if _, err := w.keyspace.Set(t.Context(), key, []byte(`{"a":1}`)); err != nil {
			t.Fatal(err)
		}
	}
	who := map[string]string{
		"nobody": "", "bad": "x.y.z",
		"reader":   token(t, `{"read":["devices/#"]}`, time.Hour),
		"writer":   token(t, `{"write":["devices/#"]}`, time.Hour),
		"listener": token(t, `{"listen":["chat/#"]}`, time.Hour),
		"speaker":  token(t, `{"publish":["chat/#"]}`, time.Hour),
		"operator": token(t, `{"admin":true}`, time.Hour),
	}
	for _, c := range []struct {
		method, path, body string
		may                string // who may; the others are told 403
		status             int    // for who may
	}{
		{"GET", "/data/devices/1", "", "reader", 200},
		{"HEAD", "/data/devices/1", "", "reader", 200},
		{"GET", "/data/other", "", "", 0},
		{"GET", "/data/devices/none", "", "reader", 404},
		{"POST", "/data/devices/1", `{"value":1}`, "writer", 200},
		{"PUT", "/data/devices/1", `{"value":{"a":1}}`, "writer", 200},
		{"PATCH", "/data/devices/1", `{}`, "writer", 200},
		{"DELETE", "/data/devices/1/set", "", "writer", 204},
		{"POST", "/data/other", `{"value":1}`, "", 0},
		{"DELETE", "/data/none", "", "", 0},
		{"GET", "/data?pattern=devices/%23", "", "reader", 200},
		{"GET", "/data?pattern=devices/%2B", "", "reader", 200},
		{"GET", "/data?prefix=devices/", "", "reader", 200},
		{"GET", "/data?prefix=dev", "", "", 0},
		{"GET", "/data?pattern=%23", "", "", 0},
		{"GET", "/data", "", "", 0},
		{"POST", "/topics/chat/1", `{"value":1}`, "speaker", 202},
		{"POST", "/topics/other", `{"value":1}`, "", 0},
		{"HEAD", "/events?key=devices/1", "", "reader", 200},
		{"HEAD", "/events?pattern=devices/%23", "", "reader", 200},
		{"HEAD", "/events?pattern=%23", "", "", 0},
		{"HEAD", "/events?topic=chat/1", "", "listener", 200},
		{"HEAD", "/events?topic=chat/1&key=devices/1", "", "", 0},
		{"GET", "/metrics", "", "operator", 200},
		{"GET", "/sessions", "", "operator", 200},
		{"DELETE", "/sessions/x", "", "operator", 404},
		{"GET", "/debug/pprof/", "", "operator", 200},
		{"GET", "/debug/pprof/cmdline", "", "operator", 200},
		{"GET", "/log-level", "", "operator", 404},
	} {
		for name, token := range who {
			var headers []string
			if token != "" {
				headers = []string{"Authorization", "Bearer " + token}
			}
			answer := w.with(t, c.method, c.path, c.body, headers...)
			want := http.StatusForbidden
			switch {
			case token == "" || name == "bad":
				want = http.StatusUnauthorized
			case name == c.may:
				want = c.status
			}
			if answer.StatusCode != want {
				t.Errorf("%s %s by %s: %d, want %d", c.method, c.path, name, answer.StatusCode, want)
			}
			if challenge := answer.Header.Get("WWW-Authenticate"); (challenge != "") != (want == http.StatusUnauthorized) ||
				name == "bad" && !strings.Contains(challenge, "invalid_token") {
				t.Errorf("%s %s by %s: WWW-Authenticate: %q", c.method, c.path, name, challenge)
			}
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		w.want(t, "GET", path, "", http.StatusOK, "ok")
	}
	for _, path := range []string{"/nothing", "/openapi.json"} {
		w.want(t, "GET", path, "", http.StatusUnauthorized, "unauthorized")
	}
	if answer := w.with(t, "OPTIONS", "/data/k", ""); answer.StatusCode != http.StatusNoContent {
		t.Errorf("OPTIONS: %d", answer.StatusCode)
	}
}

// One who may write and not read learns nothing by a patch, and a batch says of
// each item whether it is granted.
func TestWritersWhoMayNotRead(t *testing.T) {
	w := newWire(t, transport.Options{Keys: testKeys(t)})
	if _, err := w.keyspace.Set(t.Context(), "devices/1", []byte(`{"secret":1}`)); err != nil {
		t.Fatal(err)
	}
	call := func(token, method, path, body string) string {
		r, err := http.NewRequest(method, "http://"+w.addr+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "bearer "+token) // the scheme's case does not matter
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	writer := token(t, `{"write":["devices/#"]}`, time.Hour)
	both := token(t, `{"write":["devices/#"],"read":["devices/#"]}`, time.Hour)
	if got := call(writer, "PATCH", "/data/devices/1", `{"b":2}`); got != `{"key":"devices/1","version":2}` {
		t.Errorf("a patch by one who may not read: %s", got)
	}
	if got := call(both, "PATCH", "/data/devices/1", `{"b":3}`); got != `{"key":"devices/1","value":{"secret":1,"b":3},"version":3}` {
		t.Errorf("a patch by one who may: %s", got)
	}
	got := call(writer, "POST", "/data", `{"items":[{"key":"devices/2","value":1},{"key":"other","value":1}]}`)
	var batch struct {
		Results []struct {
			Version uint64
			Error   struct{ Code string }
		}
	}
	if err := json.Unmarshal([]byte(got), &batch); err != nil || batch.Results[0].Version == 0 || batch.Results[1].Error.Code != "forbidden" {
		t.Errorf("a batch: %s", got)
	}
}

func TestAWebSocketSaysWhoItIs(t *testing.T) {
	w := newWire(t, transport.Options{Keys: testKeys(t)})
	c := w.dialAs(t, "")
	for _, request := range []string{
		`{"id":1,"action":"get","key":"a"}`, `{"id":1,"action":"set","key":"a","value":1}`, `{"id":1,"action":"delete","key":"a"}`,
		`{"id":1,"action":"patch","key":"a","value":1}`, `{"id":1,"action":"publish","topic":"t","value":1}`,
		`{"id":1,"action":"subscribe","key":"a"}`, `{"id":1,"action":"subscribe","pattern":"#"}`, `{"id":1,"action":"subscribe","topics":["t"]}`,
		`{"id":1,"action":"will","key":"a","value":1}`,
	} {
		c.wantCode(request, "unauthorized")
	}
	c.wantCode(`{"id":1,"action":"auth"}`, "invalid_request")
	c.wantCode(`{"id":1,"action":"auth","token":5}`, "invalid_request")
	c.wantCode(`{"id":1,"action":"auth","token":"x"}`, "unauthorized")
	c.ask(fmt.Sprintf(`{"id":2,"action":"auth","token":%q}`, token(t, `{"read":["a/#"],"write":["a/b"],"listen":["t"]}`, time.Hour)), `{"id":2,"ok":true}`)
	c.ask(`{"id":3,"action":"set","key":"a/b","value":1}`, `{"id":3,"ok":true,"version":1}`)
	c.wantCode(`{"id":4,"action":"set","key":"a/c","value":1}`, "forbidden")
	c.wantCode(`{"id":4,"action":"subscribe","keys":["a/b","b"]}`, "forbidden")
	c.wantCode(`{"id":4,"action":"subscribe","pattern":"#"}`, "forbidden")
	c.wantCode(`{"id":4,"action":"publish","topic":"t","value":1}`, "forbidden")
	c.wantCode(`{"id":4,"action":"will","key":"b","value":1}`, "forbidden")
	c.wantCode(`{"id":5,"action":"subscribe","keys":["a/b","a/c"]}`, "")
	c.wantCode(`{"id":5,"action":"subscribe","pattern":"a/+"}`, "")
	c.wantCode(`{"id":5,"action":"subscribe","topic":"t"}`, "")

	// A narrower token ends what it does not cover, and a bad one changes nothing.
	c.wantCode(`{"id":6,"action":"auth","token":"x"}`, "unauthorized")
	c.ask(fmt.Sprintf(`{"id":7,"action":"auth","token":%q}`, token(t, `{"read":["a/b"]}`, time.Hour)), `{"id":7,"ok":true,"ended":["a/+","a/c","t"]}`)
	for _, key := range []string{"a/c", "a/b"} {
		if _, err := w.keyspace.Set(t.Context(), key, []byte("2")); err != nil {
			t.Fatal(err)
		}
	}
	c.want(`{"key":"a/b","value":2}`)
}

// A page can set no header, and sends its token as a subprotocol.
func TestATokenAsASubprotocol(t *testing.T) {
	w := newWire(t, transport.Options{Keys: testKeys(t)})
	d := websocket.Dialer{Subprotocols: []string{"rtdb.v1", "rtdb.token." + token(t, `{"read":["#"]}`, time.Hour)}}
	c, answer, err := d.Dial("ws://"+w.addr+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := answer.Header.Values("Sec-WebSocket-Protocol"); len(got) != 1 || got[0] != "rtdb.v1" {
		t.Errorf("the server chose %q", got)
	}
	(&peer{c, t}).ask(`{"id":1,"action":"subscribe","key":"a"}`, `{"id":1,"ok":true,"revision":0}`)
	d.Subprotocols[1] = "rtdb.token.x"
	if _, answer, err := d.Dial("ws://"+w.addr+"/ws", nil); err == nil || answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("a bad token: %v", err)
	}
}

// Without a token there is what is granted to all, and the rest for one.
func TestAnonymousGrants(t *testing.T) {
	w := newWire(t, transport.Options{Keys: testKeys(t), Anonymous: &auth.Grants{Read: []string{"public/#"}}})
	w.want(t, "GET", "/data/public/a", "", http.StatusNotFound, "not_found")
	w.want(t, "GET", "/data/a", "", http.StatusUnauthorized, "unauthorized")
	w.want(t, "POST", "/data/public/a", `{"value":1}`, http.StatusUnauthorized, "unauthorized")
	w.want(t, "GET", "/metrics", "", http.StatusUnauthorized, "unauthorized")
	c := w.dialAs(t, "")
	c.wantCode(`{"id":1,"action":"subscribe","pattern":"public/#"}`, "")
	c.wantCode(`{"id":1,"action":"subscribe","pattern":"#"}`, "unauthorized")
	c.ask(fmt.Sprintf(`{"id":2,"action":"auth","token":%q}`, token(t, `{"write":["a"]}`, time.Hour)), `{"id":2,"ok":true,"ended":["public/#"]}`)
	c.wantCode(`{"id":3,"action":"set","key":"a","value":1}`, "")
}

// A will needs its grant when it is set, and again when it fires.
func TestAWillNeedsItsGrant(t *testing.T) {
	w := newWire(t, transport.Options{Keys: testKeys(t)})
	c := w.dialAs(t, token(t, `{"write":["a","b"],"publish":["t"]}`, time.Hour))
	for _, name := range []string{`"key":"a"`, `"key":"b"`, `"topic":"t"`} {
		c.wantCode(fmt.Sprintf(`{"id":1,"action":"will",%s,"value":1}`, name), "")
	}
	c.wantCode(fmt.Sprintf(`{"id":2,"action":"auth","token":%q}`, token(t, `{"write":["b"]}`, time.Hour)), "")
	_ = c.NetConn().Close()
	w.log.await(t, "session closed", 1)
	for key, want := range map[string]bool{"a": false, "b": true} {
		if _, err := w.keyspace.Get(key); (err == nil) != want {
			t.Errorf("%s: %v, want it written: %v", key, err, want)
		}
	}
}

func TestNoTokenInTime(t *testing.T) {
	inBubbleWith(t, transport.Options{Keys: testKeys(t)}, func(t *testing.T, p *piped) {
		c := p.dial(t)
		if code, after := closing(c); code != 1008 || after != 10*time.Second {
			t.Errorf("closed with %d after %v, want 1008 after 10 s", code, after)
		}
		_ = c.Close()
	})
}

// A client is told 30 s before its token ends, and at once where less is left;
// another token puts that off.
func TestATokenThatEnds(t *testing.T) {
	inBubbleWith(t, transport.Options{Keys: testKeys(t)}, func(t *testing.T, p *piped) {
		c := p.dial(t)
		start := time.Now()
		want := func(message string, at time.Duration) {
			t.Helper()
			_, text, err := c.ReadMessage()
			if since := time.Since(start); err != nil || string(text) != message || since != at {
				t.Fatalf("got %s after %v, %v; want %s after %v", text, since, err, message, at)
			}
		}
		auth := func(ttl time.Duration) {
			t.Helper()
			text := fmt.Sprintf(`{"id":1,"action":"auth","token":%q}`, token(t, `{"write":["#"]}`, ttl))
			if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		auth(time.Minute)
		want(`{"id":1,"ok":true}`, 0)
		want(`{"action":"auth","expires_in":30}`, 30*time.Second)
		time.Sleep(20 * time.Second)
		auth(2 * time.Minute)
		want(`{"id":1,"ok":true}`, 50*time.Second)
		want(`{"action":"auth","expires_in":30}`, 140*time.Second)
		auth(20 * time.Second)
		want(`{"id":1,"ok":true}`, 140*time.Second)
		want(`{"action":"auth","expires_in":20}`, 140*time.Second)
		if err := c.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"action":"will","key":"a","value":1}`)); err != nil {
			t.Fatal(err)
		}
		want(`{"id":1,"ok":true}`, 140*time.Second)
		if code, after := closing(c); code != 4010 || after != 20*time.Second {
			t.Errorf("closed with %d after %v, want 4010 after 20 s", code, after)
		}
		_ = c.Close()
		synctest.Wait()
		if e := p.log.lines(t, "session closed"); len(e) != 1 || e[0]["code"] != 4010.0 || e[0]["reason"] != "token expired" {
			t.Errorf("logged %v", e)
		}
		if _, err := p.keyspace.Get("a"); err == nil {
			t.Error("the will of an expired token was written")
		}
	})
}

func TestAStreamEndsWithItsToken(t *testing.T) {
	inBubbleWith(t, transport.Options{Keys: testKeys(t)}, func(t *testing.T, p *piped) {
		ours, theirs := net.Pipe()
		p.listener.accept <- theirs
		go func() {
			_, _ = fmt.Fprintf(ours, "GET /events?key=k HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n",
				token(t, `{"read":["k"]}`, time.Minute))
		}()
		start := time.Now()
		answer, err := http.ReadResponse(bufio.NewReader(ours), nil)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", answer, err)
		}
		if _, err := io.ReadAll(answer.Body); err != nil {
			t.Errorf("the stream ends with %v", err)
		}
		if took := time.Since(start); took != time.Minute {
			t.Errorf("it ends after %v, want one minute", took)
		}
		_ = ours.Close()
	})
}
