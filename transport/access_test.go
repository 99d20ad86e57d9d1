package transport_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/transport"
	"rtdb/transport/auth"
)

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
		may                string // the client that may call; the others get 403
		status             int    // for that client
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

// A client that may write but not read does not get the value back from a patch. A
// batch reports for each item whether it is granted.
func TestAWriterWithoutAReadGrantGetsNoValues(t *testing.T) {
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
		t.Errorf("a patch without the read grant: %s", got)
	}
	if got := call(both, "PATCH", "/data/devices/1", `{"b":3}`); got != `{"key":"devices/1","value":{"secret":1,"b":3},"version":3,"at":3000}` {
		t.Errorf("a patch with the read grant: %s", got)
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

// A page cannot set headers of a WebSocket, so it sends its token as a subprotocol.
func TestATokenMayBeASubprotocol(t *testing.T) {
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
	(&peer{c, t}).ask(`{"id":1,"action":"subscribe","key":"a"}`, `{"id":1,"ok":true,"revision":0,"epoch":"e"}`)
	d.Subprotocols[1] = "rtdb.token.x"
	if _, answer, err := d.Dial("ws://"+w.addr+"/ws", nil); err == nil || answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("a bad token: %v", err)
	}
}

// A client without a token has the anonymous grants. With a token it has the token's
// grants instead.
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

// A will needs its grant when it is set and again when it is written.
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

// Grants decide about deletes of many keys, patterns of topics, touches, wills and the
// list of topics.
func TestGrantsOfManyKeysAndOfTopicPatterns(t *testing.T) {
	w := newWire(t, transport.Options{Keys: testKeys(t)})
	bearer := func(grants string) []string {
		return []string{"Authorization", "Bearer " + token(t, grants, time.Hour)}
	}
	writer, reader := bearer(`{"write":["a/#"],"listen":["t/#"]}`), bearer(`{"read":["#"]}`)
	w.wantTry(t, "200", "PUT", "/data/a/1", `{"value":1}`, writer...)
	for query, want := range map[string]string{
		"prefix=a/": "200", "pattern=a/%23": "200", "pattern=a/b": "200",
		"prefix=a": "403 forbidden", "pattern=%23": "403 forbidden", "prefix=b/": "403 forbidden", "prefix=a&pattern=a/b": "200",
	} {
		w.wantTry(t, want, "DELETE", "/data?"+query, "", writer...)
		w.wantTry(t, "403 forbidden", "DELETE", "/data?"+query, "", reader...)
	}
	w.wantTry(t, "401 unauthorized", "DELETE", "/data?prefix=a/", "")
	w.wantTry(t, "403 forbidden", "GET", "/topics", "", reader...)
	w.wantTry(t, "200", "GET", "/topics", "", bearer(`{"admin":true}`)...)
	w.wantTry(t, "401 unauthorized", "GET", "/topics", "")

	c := w.dialAs(t, token(t, `{"write":["a/#"],"listen":["t/#"]}`, time.Hour))
	c.wantCode(`{"id":1,"action":"subscribe","topicPattern":"t/+"}`, "")
	c.wantCode(`{"id":1,"action":"subscribe","topicPattern":"#"}`, "forbidden")
	c.wantCode(`{"id":1,"action":"touch","key":"b","ttl":1}`, "forbidden")
	c.wantCode(`{"id":1,"action":"touch","key":"a/none","ttl":1}`, "not_found")
	c.wantCode(`{"id":1,"action":"will","key":"b","delete":true}`, "forbidden")
	narrower := token(t, `{"listen":["t/1"]}`, time.Hour)
	c.ask(`{"id":2,"action":"auth","token":"`+narrower+`"}`, `{"id":2,"ok":true,"ended":["t/+"]}`)
	late := w.dial(t)
	late.wantCode(`{"id":1,"action":"hello","client":"x"}`, "unauthorized")
}
