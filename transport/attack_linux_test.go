package transport_test

import (
	"bufio"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"

	"rtdb/transport"
	"rtdb/transport/auth"
	"rtdb/transport/guard"
)

// A page may call if its origin is the server's own or an allowed one. Only a page of an
// allowed origin gets the headers of CORS.
func TestOnlyPagesOfAllowedOriginsMayCall(t *testing.T) {
	w := newWire(t, transport.Options{AllowedOrigins: []string{
		"https://app.example", "http://app.example:3000", "https://*.example.com", "null", "file://", "capacitor://localhost", "app://.",
	}})
	ours := map[string]bool{"": true, "http://" + w.addr: true, "https://" + w.addr: true}
	for origin, may := range map[string]bool{
		"": true, "http://" + w.addr: true, "https://" + w.addr: true, // behind a proxy that ends TLS
		"https://app.example": true, "http://app.example:3000": true,
		"http://app.example": false, "https://app.example:3000": false, "https://app.example:443": true,
		"HTTPS://APP.EXAMPLE": true, "https://app.example/": false, "https://app.example.": true,
		"https://a.b.example.com": true, "https://a.example.com:443": true, "https://example.com": false, "http://a.example.com": false,
		"https://evilexample.com": false, "https://x.example.com.evil.org": false, "https://a.example.com:8443": false,
		"https://evil.org/.example.com": false, "https://evil.org@a.example.com": false, "https://*.example.com": false,
		"null": true, "file://": true, "capacitor://localhost": true, "app://.": true, "ionic://localhost": false, "app://x": false,
		"https://sub.app.example": false, "https://app.example.evil.example": false, "https://evilapp.example": false,
		"https://app.example@evil.example": false, "https://app.example https://evil.example": false,
		// Without a key, on a loopback address.
		"http://127.0.0.1": true, "http://127.0.0.1:1": true, "http://localhost": true, "https://[::1]:5173": true, "http://app.localhost:3000": true,
		"ws://localhost:1": false, "http://localhost.evil.example": false, "http://127.0.0.1.evil.example": false, "http://10.0.0.1": false,
		"http://x@" + w.addr + ".evil.example": false,
		"chrome-extension://abcdefgh":          false, "*": false, "file:///": false, "NULL": false,
	} {
		allowed := may && !ours[origin]
		for _, c := range [][3]string{{"GET", "/data/k", ""}, {"POST", "/data/k", `{"value":1}`}, {"POST", "/data", `{"items":[]}`},
			{"GET", "/events?key=k", ""}, {"GET", "/healthz", ""}, {"DELETE", "/data/none", ""}, {"OPTIONS", "/data/k", ""}} {
			headers := []string{"Origin", origin, "Access-Control-Request-Method", "PUT"}
			if origin == "" {
				headers = headers[2:]
			}
			got, answer := w.try(t, c[0], c[1], c[2], headers...)
			if may == (got == "403 forbidden") {
				t.Errorf("%s %s from %q: %s", c[0], c[1], origin, got)
			}
			h := answer.Header
			if told := h.Get("Access-Control-Allow-Origin"); allowed && told != origin || !allowed && told != "" || h.Get("Vary") != "Origin" ||
				h.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s %s from %q: %v", c[0], c[1], origin, h)
			}
			if pre := h.Get("Access-Control-Allow-Methods"); strings.Contains(pre, "PUT") != (allowed && c[0] == "OPTIONS") ||
				(pre != "") != strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") {
				t.Errorf("%s %s from %q may be asked with %v", c[0], c[1], origin, h)
			}
		}
		header := http.Header{"Origin": {origin}}
		if origin == "" {
			header = nil
		}
		c, _, err := websocket.DefaultDialer.Dial("ws://"+w.addr+"/ws", header)
		if err == nil {
			_ = c.Close()
		}
		if (err == nil) != may {
			t.Errorf("a WebSocket from %q: %v", origin, err)
		}
	}
	w.wantTry(t, "403 forbidden", "GET", "/data/k", "", "Origin", "")
	w.wantTry(t, "403 forbidden", "GET", "/data/k", "", "Origin", "https://app.example", "Origin", "https://app.example")
}

// A refused page, and a refused Host header, are named in the answer and in the log, with
// what to do. Nothing that a client sends there breaks a line or the answer.
func TestARefusalSaysWhatToAllow(t *testing.T) {
	w := newWire(t, transport.Options{Admin: true, AllowedOrigins: []string{"https://app.example"}})
	admin := *w
	admin.addr = w.adminListener(t)
	for i, c := range []struct {
		w                *wire
		host, origin     string // "-" is no header
		message          string
		logged, loggedAs string
	}{
		{w, "localhost", "http://dev.example:5173",
			"the page's origin http://dev.example:5173 is not allowed: start the server with --allowed-origins http://dev.example:5173 ($ALLOWED_ORIGINS)",
			"origin", "http://dev.example:5173"},
		{w, "localhost", "null", "the page's origin null is not allowed: start the server with --allowed-origins null ($ALLOWED_ORIGINS)", "origin", "null"},
		{w, "localhost", "https://a\"b\xc2\x9b\xff.example", "no valid Origin header", "", ""},
		{w, "localhost", "https://" + strings.Repeat("a", 10_000), "no valid Origin header", "", ""},
		{&admin, "localhost", "https://app.example", "https://app.example is not allowed: here only pages of the server's own origin", "origin", "https://app.example"},
		{w, "db.example.com:8443", "-", `the Host header \"db.example.com:8443\" names another machine`, "host", `"db.example.com:8443"`},
		{w, strings.Repeat("a.", 5000), "-", "configure a key", "host", `"` + strings.Repeat("a.", 32) + `"…`},
		{&admin, "evil.example", "-", `the host name \"evil.example\": call it by its IP address`, "host", `"evil.example"`},
	} {
		request := "GET /sessions HTTP/1.1\r\nHost: " + c.host + "\r\nConnection: close\r\n"
		if c.origin != "-" {
			request += "Origin: " + c.origin + "\r\n"
		}
		got := c.w.raw(t, request+"\r\n")
		if body, ok := strings.CutPrefix(got, "403 "); !ok || errorCode(t, body) != "forbidden" || !strings.Contains(body, c.message) || len(body) > 500 {
			t.Errorf("from %.60q at %.60q: %.600s, want %s", c.origin, c.host, got, c.message)
		}
		e := w.log.await(t, "http request", i+1)[i]
		if text, _ := e["error"].(string); e["code"] != "forbidden" || text == "" || c.logged != "" && e[c.logged] != c.loggedAs || len(e) > 10 {
			t.Errorf("from %.60q at %.60q: logged %v", c.origin, c.host, e)
		}
	}
}

// A page can send a form without a preflight request. Forms of other pages write nothing.
func TestFormsOfOtherPagesAreRefused(t *testing.T) {
	w := newWire(t, transport.Options{})
	for _, from := range [][]string{
		{"Origin", "https://evil.example"}, {"Origin", "null"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"},
		{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example", "Sec-Fetch-Site", "same-origin"},
	} {
		for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""} {
			headers := append(slices.Clone(from), "Content-Type", kind)
			w.wantTry(t, "403 forbidden", "POST", "/data/k", `{"value":1}`, headers...)
			w.wantTry(t, "403 forbidden", "PUT", "/data/k", `{"value":1}`, headers...)
			w.wantTry(t, "403 forbidden", "PATCH", "/data/k", `{"a":1}`, headers...)
			w.wantTry(t, "403 forbidden", "DELETE", "/data/k", "", headers...)
			w.wantTry(t, "403 forbidden", "POST", "/data", `{"items":[{"key":"k","value":1}]}`, headers...)
			w.wantTry(t, "403 forbidden", "POST", "/topics/t", `{"value":1}`, headers...)
		}
	}
	if w.keyspace.Keys() != 0 || w.keyspace.Revision() != 0 {
		t.Error("something is written")
	}
	w.wantTry(t, "200", "POST", "/data/k", `{"value":1}`, "Sec-Fetch-Site", "same-origin", "Origin", "http://"+w.addr)
}

// A page can make its own name point to this machine (DNS rebinding). If the server asks
// for no token, its requests are refused because of their Host header.
func TestDNSRebindingIsRefused(t *testing.T) {
	open, keyed := newWire(t, transport.Options{}), newWire(t, transport.Options{Keys: testKeys(t)})
	_, port, _ := net.SplitHostPort(open.addr)
	for host, ours := range map[string]bool{
		"localhost": true, "localhost:" + port: true, "LOCALHOST:1": true, "localhost.": true, "a.localhost": true, "127.0.0.1": true,
		"127.1.2.3:" + port: true, "[::1]": true, "[::1]:" + port: true, "[::ffff:127.0.0.1]": true,
		"evil.example": false, "evil.example:" + port: false, "127.0.0.1.evil.example": false, "localhost.evil.example": false,
		"evillocalhost": false, "0.0.0.0:" + port: false, "2130706433": false, "127.1": false, "0x7f000001": false, "192.168.0.1": false,
		"[::]": false, "[fe80::1]": false, "127.0.0.1:80:80": false,
	} {
		for _, start := range []string{"GET /data/k", "GET /healthz", "GET /nothing", "OPTIONS /data/k", "GET /ws", "GET /events", "PUT /data/k"} {
			request := start + " HTTP/1.1\r\nHost: " + host + "\r\nOrigin: http://" + host + "\r\nConnection: close\r\n\r\n"
			got := open.raw(t, request)
			if refused := strings.HasPrefix(got, `403 {"error":{"code":"forbidden"`); refused == ours {
				t.Errorf("%s at %s: %s", start, host, got)
			}
			if got := keyed.raw(t, request); strings.Contains(got, "Host") && strings.HasPrefix(got, "403") {
				t.Errorf("%s at %s, with keys: %s", start, host, got)
			}
		}
	}
	if got := open.raw(t, "GET http://evil.example/data/k HTTP/1.1\r\nHost: localhost\r\n\r\n"); !strings.HasPrefix(got, "403") {
		t.Errorf("a request for another host: %s", got)
	}
}

func signed(method jwt.SigningMethod, key any, c jwt.MapClaims) string {
	return must(jwt.NewWithClaims(method, c).SignedString(key))
}

// A token is refused unless it is signed with the key and its own algorithm, and is valid
// now.
func TestForgedTokensAreRefused(t *testing.T) {
	hour, ago := time.Now().Add(time.Hour).Unix(), time.Now().Add(-time.Second).Unix()
	all := jwt.MapClaims{"exp": hour, "rtdb": map[string]any{"read": []string{"#"}, "write": []string{"#"}, "admin": true}}
	refused := func(t *testing.T, w *wire, what, token string) {
		t.Helper()
		w.wantTry(t, "401 unauthorized", "GET", "/data/k", "", "Authorization", "Bearer "+token)
		w.wantTry(t, "401 unauthorized", "GET", "/ws", "", append(asWebSocket, "Sec-WebSocket-Protocol", "rtdb.v1, rtdb.token."+token)...)
		c := w.dial(t)
		c.wantCode(`{"id":1,"action":"auth","token":`+quote(token)+`}`, "unauthorized")
		c.wantCode(`{"id":2,"action":"subscribe","pattern":"#"}`, "unauthorized")
		if t.Failed() {
			t.Fatal(what)
		}
	}
	none := []string{signed(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, all)}
	for _, alg := range []string{"None", "NONE", "nOnE", ""} {
		none = append(none, encode(`{"alg":"`+alg+`","typ":"JWT"}`)+"."+strings.SplitN(none[0], ".", 3)[1]+".")
	}
	rs := must(rsa.GenerateKey(rand.Reader, 2048))
	es := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	ed := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	other := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	for method, private := range map[jwt.SigningMethod]crypto.Signer{
		jwt.SigningMethodRS256: rs, jwt.SigningMethodES256: es, jwt.SigningMethodEdDSA: ed,
	} {
		t.Run(method.Alg(), func(t *testing.T) {
			der := must(x509.MarshalPKIXPublicKey(private.Public()))
			text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
			w := newWire(t, transport.Options{Keys: must(auth.PublicKeys(text))})
			for _, token := range none {
				refused(t, w, "none", token)
			}
			for _, secret := range [][]byte{text, text[:len(text)-1], der, {}} { // a public key is not a secret
				for _, hs := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
					refused(t, w, "a public key as a secret", signed(hs, secret, all))
				}
			}
			refused(t, w, "another padding", signed(jwt.SigningMethodPS256, rs, all))
			refused(t, w, "another key", signed(jwt.SigningMethodES256, other, all))
			good := signed(method, private, all)
			refused(t, w, "half a signature", good[:len(good)-20])
			parts := strings.Split(good, ".")
			refused(t, w, "other claims", parts[0]+"."+encode(fmt.Sprintf(`{"exp":%d,"rtdb":{"admin":true}}`, hour))+"."+parts[2])
			w.wantTry(t, "404 not_found", "GET", "/data/k", "", "Authorization", "Bearer "+good)
		})
	}
	w := newWire(t, transport.Options{Keys: testKeys(t)})
	for _, token := range none {
		refused(t, w, "none", token)
	}
	refused(t, w, "another secret", signed(jwt.SigningMethodHS256, []byte(testSecret+" "), all))
	refused(t, w, "a longer hash", signed(jwt.SigningMethodHS512, []byte(testSecret), all))
	for what, claims := range map[string]string{
		"expired": fmt.Sprintf(`"exp":%d`, ago), "not yet valid": fmt.Sprintf(`"exp":%d,"nbf":%d`, hour, hour), "no exp": `"rtdb":{"read":["#"]}`,
		"exp is null": `"exp":null`, "exp is 0": `"exp":0`, "exp is text": `"exp":"never"`, "exp is huge": `"exp":1e300`, "a list": `"exp":%d,"rtdb":["#"]`,
		"text": `"exp":%d,"rtdb":"admin"`, "no list": `"exp":%d,"rtdb":{"read":"#"}`, "no pattern": `"exp":%d,"rtdb":{"read":["a#"]}`,
		"an unknown right": `"exp":%d,"rtdb":{"reed":["#"]}`, "admin is 1": `"exp":%d,"rtdb":{"admin":1}`, "an empty level": `"exp":%d,"rtdb":{"read":["a//b"]}`,
	} {
		text := encode(`{"alg":"HS256"}`) + "." + encode("{"+strings.Replace(claims, "%d", fmt.Sprint(hour), 1)+"}")
		refused(t, w, what, text+"."+base64.RawURLEncoding.EncodeToString(must(jwt.SigningMethodHS256.Sign(text, []byte(testSecret)))))
	}
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// A client that may read some keys does not get others by a wider pattern or prefix.
func TestPatternsWiderThanTheGrantAreRefused(t *testing.T) {
	w := newWire(t, transport.Options{Keys: testKeys(t)})
	for _, c := range []struct{ grant, may, mayNot string }{
		{"devices/#", "devices/# devices/+ devices/7 devices/+/x devices/7/#", "# +/# +/7 + devices2/# device/# Devices/#"},
		{"devices/+", "devices/+ devices/7", "+/7 devices/# # devices/+/x devices/7/# +/+ devices"},
		{"+/7", "+/7 devices/7 +/7", "+/+ +/8 # +/7/# devices/#"},
		{"#", "# + +/+ devices/#", ""},
	} {
		as := token(t, `{"read":[`+quote(c.grant)+`,"other/x"],"write":["#"],"listen":["#"]}`, time.Hour)
		p := w.dialAs(t, as)
		for may, patterns := range map[string]string{"200": c.may, "403 forbidden": c.mayNot} {
			for _, pattern := range strings.Fields(patterns) {
				code := strings.TrimPrefix(strings.TrimPrefix(may, "200"), "403 ")
				p.wantCode(`{"id":1,"action":"subscribe","pattern":`+quote(pattern)+`}`, code)
				p.wantCode(`{"id":1,"action":"unsubscribe","pattern":`+quote(pattern)+`}`, "")
				query := "pattern=" + url.QueryEscape(pattern)
				w.wantTry(t, may[:3], "HEAD", "/events?"+query, "", "Authorization", "Bearer "+as)
				w.wantTry(t, may, "GET", "/data?"+query, "", "Authorization", "Bearer "+as)
				w.wantTry(t, may, "GET", "/data?prefix=nothing/&"+query, "", "Authorization", "Bearer "+as)
			}
		}
	}
	as := token(t, `{"read":["devices/#","rooms/+"]}`, time.Hour)
	for prefix, want := range map[string]string{
		"devices/": "200", "devices/7": "200", "devices/7/": "200",
		"": "403 forbidden", "devices": "403 forbidden", "dev": "403 forbidden", "rooms/": "403 forbidden", "rooms/7": "403 forbidden", "#": "403 forbidden",
		"+/": "403 forbidden", "/devices/": "403 forbidden",
	} {
		w.wantTry(t, want, "GET", "/data?prefix="+url.QueryEscape(prefix), "", "Authorization", "Bearer "+as)
	}
}

// Text that clients send stands within a line of the log and never begins one.
func TestClientsCannotForgeLinesOfTheLog(t *testing.T) {
	w := newWire(t, transport.Options{TrustedProxies: guard.Proxies{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
	c := w.dial(t)
	for _, bad := range []string{"x\n{\"level\":\"forged\"}\n", "x\r\nx: forged", "\x1b[31m", "a\x00b", `","level":"forged","x":"`, "\xff\xfe", "\u2028\u0085", strings.Repeat("x", 5000)} {
		for _, path := range []string{"/data/", "/topics/", "/ws/", "/", "/events?key=", "/data?"} {
			for _, method := range []string{"HEAD", "POST", "PUT", "DELETE", "F'OR|GED"} {
				_, _ = w.call(t, method, path+url.PathEscape(bad), `{"value":1}`)
			}
		}
		for _, name := range []string{"action", "key", "topic", "pattern", "token", "id"} {
			c.send(`{"id":1,"action":"get",` + quote(name) + `:` + quote(bad) + `}`)
			c.send(`{"id":1,"action":"get",` + quote(name+bad) + `:1}`)
			_, _ = c.receive(), c.receive()
		}
		for _, header := range []string{"Origin", "X-Forwarded-For", "User-Agent", "Authorization", "Referer", "Sec-WebSocket-Protocol", "X"} {
			for _, path := range []string{"/ws", "/data/k"} {
				_ = w.raw(t, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"+header+": fe80::1%"+bad+"\r\n\r\n")
			}
		}
	}
	_ = c.Close()
	w.log.await(t, "session closed", 1)
	n := 0
	for line := range strings.Lines(w.log.text()) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil || e["level"] == "forged" || e["message"] == nil ||
			strings.ContainsFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("a forged line: %q %v", line, err)
		}
		n++
	}
	t.Logf("log forging: %d lines, each one object", n)
}

// No line of the log and no response contains a token or a secret that a client sent.
func TestTokensStaySecret(t *testing.T) {
	w := newWire(t, transport.Options{Keys: testKeys(t)})
	good, expired := token(t, `{"read":["#"],"write":["#"],"admin":true}`, time.Hour), token(t, `{"read":["#"]}`, -time.Hour)
	said, calls := new(strings.Builder), 0
	for _, secret := range []string{good, expired, good[:len(good)-6] + "AAAAAA", good[:len(good)-9], testSecret} {
		for _, headers := range [][]string{
			{"Authorization", "Bearer " + secret}, {"Authorization", "bearer  " + secret}, {"Authorization", secret}, {"Authorization", "Basic " + encode("x:"+secret)},
			{"Authorization", "Bearer " + secret, "Authorization", "Bearer " + good}, {"Proxy-Authorization", secret}, {"Cookie", "token=" + secret},
			{"Sec-WebSocket-Protocol", "rtdb.v1, rtdb.token." + secret}, {"X-Forwarded-For", secret}, {"Origin", secret}, {"If-Match", secret}, {"User-Agent", secret},
		} {
			escaped := url.QueryEscape(secret)
			for _, path := range []string{"/data/k", "/ws", "/sessions", "/metrics", "/nothing", "/debug/pprof/cmdline", "/data/k?token=" + escaped,
				"/data?pattern=%23&access_token=" + escaped, "/events?key=k&token=" + escaped, "/ws?token=" + escaped} {
				for _, more := range [][]string{nil, asWebSocket} {
					r := must(http.NewRequest("GET", "http://"+w.addr+path, nil))
					for h := append(slices.Clone(headers), more...); len(h) > 0; h = h[2:] {
						r.Header.Add(h[0], h[1])
					}
					answer := must(http.DefaultTransport.RoundTrip(r))
					said.Write(must(httputil.DumpResponse(answer, answer.StatusCode != http.StatusSwitchingProtocols)))
					_ = answer.Body.Close()
					calls++
				}
			}
		}
		c := w.dial(t)
		for _, message := range []string{
			`{"id":1,"action":"auth","token":%s}`, `{"id":1,"action":"auth","token":[%s]}`, `{"id":1,"action":"auth","tokens":%s}`, `{"id":1,"action":"get","token":%s}`,
			`{"action":"auth","token":%s}{`, `{"id":1,"action":"auth","token":%s`, `{"id":1,"action":"auth","key":5,"token":%s}`, `{"id":1,"token":%s}`, `[%s]`, `%s`,
		} {
			c.send(fmt.Sprintf(message, quote(secret)))
			said.WriteString(c.receive() + "\n")
			calls++
		}
		_ = c.Close()
	}
	for _, secret := range []string{good, expired, testSecret} {
		for _, part := range strings.Split(secret, ".")[strings.Count(secret, ".")/2:] {
			part = part[:min(len(part), 24)] // a part of a secret is as bad
			if strings.Contains(w.log.text(), part) || strings.Contains(said.String(), part) {
				t.Errorf("%q is in the log or a response", part)
			}
		}
	}
	t.Logf("secrets: %d requests, %d bytes of answers, %d of the log: none is in them", calls, said.Len(), len(w.log.text()))
}

// Compression would let a client make the server expand a little data to much.
func TestCompressionIsNotOffered(t *testing.T) {
	w := newWire(t, transport.Options{})
	for _, offer := range []string{"permessage-deflate", "permessage-deflate; client_max_window_bits, permessage-deflate", "x-webkit-deflate-frame"} {
		got, answer := w.try(t, "GET", "/ws", "", append(asWebSocket, "Sec-WebSocket-Extensions", offer, "Accept-Encoding", "gzip")...)
		if accepted := answer.Header.Values("Sec-WebSocket-Extensions"); got != "101" || len(accepted) > 0 {
			t.Errorf("%s: %s with %q", offer, got, accepted)
		}
	}
}

// A body must be complete in 30 s, even if a byte comes now and then.
func TestASlowBodyEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, p *piped) {
		ours, theirs := net.Pipe()
		p.listener.accept <- theirs
		var sender sync.WaitGroup
		sender.Go(func() {
			_, err := io.WriteString(ours, "POST /data/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
			for err == nil {
				time.Sleep(time.Second)
				_, err = io.WriteString(ours, " ")
			}
		})
		start := time.Now()
		answer, err := http.ReadResponse(bufio.NewReader(ours), nil)
		if took := time.Since(start); err != nil || answer.StatusCode != http.StatusBadRequest || took != 30*time.Second {
			t.Errorf("%v %v after %v, want 400 after 30 s", answer, err, took)
		}
		_ = ours.Close()
		sender.Wait()
		synctest.Wait()
	})
}
