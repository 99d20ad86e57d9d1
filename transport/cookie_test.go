package transport_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/transport"
	"rtdb/transport/auth"
)

// A cookie may carry the token of a request that changes nothing, from a page that may
// call. Every other request with the cookie alone is refused.
func TestTheTokenCookie(t *testing.T) {
	w := newWire(t, transport.Options{Keys: testKeys(t), TokenCookie: "rtdb_token", AllowedOrigins: []string{"https://app.example"}})
	if _, err := w.keyspace.Set(t.Context(), "a", []byte("1")); err != nil {
		t.Fatal(err)
	}
	all := token(t, `{"read":["#"],"write":["#"],"publish":["#"],"admin":true}`, time.Hour)
	little := token(t, `{"read":["other"]}`, time.Hour)
	const cookie = "rtdb_token="
	own := "http://" + w.addr
	for _, c := range []struct {
		want, method, path, body string
		headers                  []string
	}{
		{"200", "GET", "/data/a", "", []string{"Cookie", cookie + all}},
		{"200", "GET", "/data/a", "", []string{"Cookie", "x=y; " + cookie + all + "; z=" + little}},
		{"200", "HEAD", "/data/a", "", []string{"Cookie", cookie + all}},
		{"200", "GET", "/data", "", []string{"Cookie", cookie + all}},
		{"200", "GET", "/sessions", "", []string{"Cookie", cookie + all}},
		{"200", "GET", "/events?key=a", "", []string{"Cookie", cookie + all}},
		{"200", "GET", "/data/a", "", []string{"Cookie", cookie + all, "Origin", own}},
		{"200", "GET", "/data/a", "", []string{"Cookie", cookie + all, "Sec-Fetch-Site", "same-origin"}},
		{"200", "GET", "/data/a", "", []string{"Cookie", cookie + all, "Sec-Fetch-Site", "none"}},
		{"200", "GET", "/data/a", "", []string{"Cookie", cookie + all, "Origin", "https://app.example", "Sec-Fetch-Site", "cross-site"}},
		{"200", "GET", "/events?key=a", "", []string{"Cookie", cookie + all, "Origin", "https://app.example", "Sec-Fetch-Site", "cross-site"}},

		// The header wins.
		{"403 forbidden", "GET", "/data/a", "", []string{"Cookie", cookie + all, "Authorization", "Bearer " + little}},
		{"200", "GET", "/data/a", "", []string{"Cookie", cookie + little, "Authorization", "Bearer " + all}},
		{"200", "GET", "/data/a", "", []string{"Cookie", cookie + "x", "Authorization", "Bearer " + all}},
		{"401 unauthorized", "GET", "/data/a", "", []string{"Cookie", cookie + all, "Authorization", "Basic eDp5"}},
		{"403 forbidden", "GET", "/data/a", "", []string{"Cookie", cookie + little}},

		// What changes something needs the header.
		{"401 unauthorized", "POST", "/data/a", `{"value":2}`, []string{"Cookie", cookie + all}},
		{"401 unauthorized", "POST", "/data/a", `{"value":2}`, []string{"Cookie", cookie + all, "Origin", "https://app.example"}},
		{"401 unauthorized", "POST", "/data/a", `{"value":2}`, []string{"Cookie", cookie + all, "Origin", own}},
		{"401 unauthorized", "POST", "/data/a", `{"value":2}`, []string{"Cookie", cookie + all, "X-HTTP-Method-Override", "GET"}},
		{"401 unauthorized", "PUT", "/data/a", `{"value":2}`, []string{"Cookie", cookie + all}},
		{"401 unauthorized", "PATCH", "/data/a", `{}`, []string{"Cookie", cookie + all}},
		{"401 unauthorized", "DELETE", "/data/a", "", []string{"Cookie", cookie + all}},
		{"401 unauthorized", "POST", "/data", `{"items":[]}`, []string{"Cookie", cookie + all}},
		{"401 unauthorized", "POST", "/topics/t", `{"value":1}`, []string{"Cookie", cookie + all}},
		{"401 unauthorized", "DELETE", "/sessions/x", "", []string{"Cookie", cookie + all}},
		{"401 unauthorized", "PUT", "/log-level", `{"level":"debug"}`, []string{"Cookie", cookie + all}},

		// Pages of other sites, with and without an Origin header.
		{"403 forbidden", "GET", "/data/a", "", []string{"Cookie", cookie + all, "Origin", "https://evil.example"}},
		{"403 forbidden", "GET", "/events?key=a", "", []string{"Cookie", cookie + all, "Origin", "https://evil.example"}},
		{"403 forbidden", "GET", "/data/a", "", []string{"Cookie", cookie + all, "Origin", "null"}},
		{"401 unauthorized", "GET", "/data/a", "", []string{"Cookie", cookie + all, "Sec-Fetch-Site", "cross-site"}},
		{"401 unauthorized", "GET", "/data/a", "", []string{"Cookie", cookie + all, "Sec-Fetch-Site", "same-site"}},
		{"403 forbidden", "GET", "/events?key=a", "", []string{"Cookie", cookie + all, "Sec-Fetch-Site", "cross-site"}},

		// No token, or several.
		{"401 unauthorized", "GET", "/data/a", "", []string{"Cookie", "other=" + all}},
		{"401 unauthorized", "GET", "/data/a", "", []string{"Cookie", "RTDB_TOKEN=" + all}},
		{"401 unauthorized", "GET", "/data/a", "", []string{"Cookie", cookie}},
		{"401 unauthorized", "GET", "/data/a", "", []string{"Cookie", cookie + "x.y.z"}},
		{"401 unauthorized", "GET", "/data/a", "", []string{"Cookie", cookie + all + "; " + cookie + all}},
		{"401 unauthorized", "GET", "/data/a", "", []string{"Cookie", cookie + all, "Cookie", cookie + little}},
	} {
		got, answer := w.try(t, c.method, c.path, c.body, c.headers...)
		if got != c.want {
			t.Errorf("%s %s %.80q: %s, want %s", c.method, c.path, c.headers, got, c.want)
		}
		if challenge := answer.Header.Get("WWW-Authenticate"); (challenge != "") != strings.HasPrefix(c.want, "401") {
			t.Errorf("%s %s %.80q: WWW-Authenticate: %q", c.method, c.path, c.headers, challenge)
		}
	}
	if e, err := w.keyspace.Get("a"); err != nil || string(e.Value) != "1" {
		t.Errorf("the key was changed: %s, %v", e.Value, err)
	}
}

// A WebSocket may authenticate by cookie if its page is of an allowed origin. Without that,
// it may still authenticate by a message.
func TestTheTokenCookieOfAWebSocket(t *testing.T) {
	w := newWire(t, transport.Options{Keys: testKeys(t), TokenCookie: "t", AllowedOrigins: []string{"https://app.example"}})
	all := token(t, `{"read":["#"],"write":["#"]}`, time.Hour)
	dial := func(headers ...string) (*websocket.Conn, int) {
		t.Helper()
		h := http.Header{}
		for i := 0; i < len(headers); i += 2 {
			h.Add(headers[i], headers[i+1])
		}
		c, answer, err := websocket.DefaultDialer.Dial("ws://"+w.addr+"/ws", h)
		if err != nil && answer == nil {
			t.Fatal(err)
		}
		if err == nil {
			t.Cleanup(func() { _ = c.Close() })
		}
		return c, answer.StatusCode
	}
	for _, origin := range []string{"https://app.example", "http://" + w.addr} {
		c, status := dial("Cookie", "t="+all, "Origin", origin)
		if status != http.StatusSwitchingProtocols {
			t.Fatalf("%s: %d", origin, status)
		}
		(&peer{c, t}).wantCode(`{"id":1,"action":"set","key":"a","value":1}`, "")
	}
	c, status := dial("Cookie", "t="+all) // not a browser
	if status != http.StatusSwitchingProtocols {
		t.Fatalf("without an origin: %d", status)
	}
	(&peer{c, t}).wantCode(`{"id":1,"action":"subscribe","key":"a"}`, "")
	for _, origin := range []string{"https://evil.example", "https://app.example.evil.example", "http://app.example", "null"} {
		if _, status := dial("Cookie", "t="+all, "Origin", origin); status != http.StatusForbidden {
			t.Errorf("%s: %d, want 403", origin, status)
		}
	}
	// A cookie that does not count, or is not valid any more, leaves the other ways. A page
	// over http behind a proxy that ends TLS looks like the server's own.
	for _, headers := range [][]string{
		{"Cookie", "t=x.y.z"}, {"Cookie", "t=" + all, "Sec-Fetch-Site", "cross-site"},
		{"Cookie", "t=" + all, "Origin", "http://" + w.addr, "Sec-Fetch-Site", "cross-site"},
		{"Cookie", "t=" + all, "Origin", "http://db.example", "Host", "db.example"},
	} {
		c, status = dial(headers...)
		if status != http.StatusSwitchingProtocols {
			t.Fatalf("%q: %d", headers, status)
		}
		p := &peer{c, t}
		p.wantCode(`{"id":1,"action":"subscribe","key":"a"}`, "unauthorized")
		p.wantCode(`{"id":2,"action":"auth","token":"`+all+`"}`, "")
		p.wantCode(`{"id":3,"action":"subscribe","key":"a"}`, "")
	}
}

// Without --token-cookie no cookie counts. With it, a page of an allowed origin may call
// with credentials and read the answer, also that to a preflight.
func TestCookiesOfPages(t *testing.T) {
	const origin = "https://app.example"
	all := token(t, `{"read":["#"]}`, time.Hour)
	off := newWire(t, transport.Options{Keys: testKeys(t), AllowedOrigins: []string{origin}})
	off.wantTry(t, "401 unauthorized", "GET", "/data", "", "Cookie", "rtdb_token="+all, "Cookie", "="+all)
	on := newWire(t, transport.Options{Keys: testKeys(t), AllowedOrigins: []string{origin}, TokenCookie: "rtdb_token"})
	for _, method := range []string{"GET", "OPTIONS", "DELETE"} {
		for name, c := range map[string]struct {
			w      *wire
			origin string
			want   string
		}{"on": {on, origin, "true"}, "off": {off, origin, ""}, "own": {on, "http://" + on.addr, ""}, "none": {on, "", ""}, "evil": {on, "https://evil.example", ""}} {
			headers := []string{"Access-Control-Request-Method", method}
			if c.origin != "" {
				headers = append(headers, "Origin", c.origin)
			}
			_, answer := c.w.try(t, method, "/data/a", "", headers...)
			if got := answer.Header.Get("Access-Control-Allow-Credentials"); got != c.want {
				t.Errorf("%s %s: Access-Control-Allow-Credentials: %q, want %q", method, name, got, c.want)
			}
			if got := answer.Header.Get("Access-Control-Allow-Origin"); got == "*" {
				t.Errorf("%s %s: every origin is allowed", method, name)
			}
		}
	}

	// As an EventSource with withCredentials asks.
	r, err := http.NewRequest("GET", "http://"+on.addr+"/events?key=a", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Origin": {origin}, "Cookie": {"rtdb_token=" + all}, "Accept": {"text/event-stream"},
		"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"cors"}}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	line, err := bufio.NewReader(answer.Body).ReadString('\n')
	if err != nil || answer.StatusCode != http.StatusOK || !strings.HasPrefix(line, "retry: ") ||
		answer.Header.Get("Access-Control-Allow-Credentials") != "true" || answer.Header.Get("Access-Control-Allow-Origin") != origin {
		t.Errorf("an event stream: %d %v %q, %v", answer.StatusCode, answer.Header, line, err)
	}
}

// A client without a token keeps its anonymous grants if its cookie may not count.
func TestTheTokenCookieAndAnonymousGrants(t *testing.T) {
	w := newWire(t, transport.Options{Keys: testKeys(t), TokenCookie: "t", Anonymous: &auth.Grants{Write: []string{"open"}}})
	all := token(t, `{"read":["#"],"write":["#"]}`, time.Hour)
	w.wantTry(t, "200", "PUT", "/data/open", `{"value":1}`, "Cookie", "t="+all)
	w.wantTry(t, "401 unauthorized", "PUT", "/data/a", `{"value":1}`, "Cookie", "t="+all)
	w.wantTry(t, "200", "GET", "/data/open", "", "Cookie", "t="+all)
}

// While the identity provider has not answered, a request with a token is not refused for
// good.
func TestWithoutKeysATokenIsUnavailable(t *testing.T) {
	w := newWire(t, transport.Options{Keys: auth.NewKeys(auth.Rules{})})
	text := token(t, `{"read":["#"]}`, time.Hour)
	answer := w.with(t, "GET", "/data", "", "Authorization", "Bearer "+text)
	if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") != "3" || answer.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("%d %v, want 503", answer.StatusCode, answer.Header)
	}
	w.want(t, "GET", "/data", "", http.StatusUnauthorized, "unauthorized")
	c := w.dialAs(t, "")
	c.wantCode(`{"id":1,"action":"auth","token":"`+text+`"}`, "unavailable")
	c.wantCode(`{"id":2,"action":"auth","token":"x"}`, "unauthorized")
}
