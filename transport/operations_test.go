package transport_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"

	"rtdb/keyspace"
	"rtdb/transport"
	"rtdb/transport/auth"
	"rtdb/transport/transporttest"
)

// A testLevel is a level of no log.
type testLevel struct {
	mu    sync.Mutex
	level string
}

func (l *testLevel) Current() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.level
}

func (l *testLevel) Change(level string) error {
	if level != "debug" && level != "info" {
		return errors.New("no level")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.level = level
	return nil
}

type listedSession struct {
	ID, Remote, Route             string
	AgeMS                         *float64 `json:"age_ms"`
	LagMS                         *float64 `json:"lag_ms"`
	PendingKeys                   *float64 `json:"pending_keys"`
	PendingBytes                  *float64 `json:"pending_bytes"`
	Subscriptions                 int
	Delivered, Conflated, Dropped *int
}

// The operator lists sessions, ends one, and changes the log level. If the operator has a
// listener, these paths are on that listener only.
func TestTheOperatorSeesAndEndsSessions(t *testing.T) {
	w := newWire(t, transport.Options{Keys: testKeys(t), Admin: true, Level: &testLevel{level: "info"}})
	admin := *w
	admin.addr = w.adminListener(t)
	first := w.dialAs(t, token(t, `{"read":["#"],"admin":true}`, 1e12))
	first.wantCode(`{"id":1,"action":"subscribe","keys":["a","b"]}`, "") // now it is open, and older than the second
	second := w.dialAs(t, token(t, `{"read":["#"]}`, 1e12))
	second.wantCode(`{"id":1,"action":"subscribe","pattern":"a"}`, "")
	if _, err := w.keyspace.Set(t.Context(), "a", []byte("1")); err != nil {
		t.Fatal(err)
	}
	first.want(`{"key":"a","value":1}`)
	second.want(`{"key":"a","value":1}`)

	list := func(query string) (sessions []listedSession) {
		t.Helper()
		answer, text := admin.call(t, "GET", "/sessions"+query, "")
		var body struct{ Sessions []listedSession }
		if err := json.Unmarshal([]byte(text), &body); err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", answer.StatusCode, text)
		}
		return body.Sessions
	}
	var sessions []listedSession
	transporttest.Eventually(t, "both updates counted", func() bool { // a delivery is counted after the write to the client
		sessions = list("?sort=age")
		return !slices.ContainsFunc(sessions, func(s listedSession) bool { return s.Delivered == nil || *s.Delivered == 0 })
	})
	if len(sessions) != 2 || sessions[0].Subscriptions != 2 || sessions[1].Subscriptions != 1 ||
		sessions[0].Remote != first.LocalAddr().String() || sessions[0].Route != "/ws" {
		t.Fatalf("the sessions are %+v", sessions)
	}
	for _, s := range sessions {
		if s.AgeMS == nil || s.LagMS == nil || s.PendingKeys == nil || s.PendingBytes == nil || s.Conflated == nil || s.Dropped == nil || *s.Delivered != 1 {
			t.Errorf("a field is missing in %+v", s)
		}
	}
	if len(list("?sort=lag&limit=1")) != 1 || len(list("?sort=bytes")) != 2 {
		t.Error("limit or sort does not work")
	}
	for _, query := range []string{"?sort=x", "?limit=0", "?limit=1001", "?limit=x", "?x=1", "?sort=age&sort=lag"} {
		admin.want(t, "GET", "/sessions"+query, "", http.StatusBadRequest, "invalid_request")
	}
	admin.want(t, "DELETE", "/sessions/none", "", http.StatusNotFound, "not_found")
	admin.want(t, "DELETE", "/sessions/"+sessions[1].ID, "", http.StatusNoContent, "")
	second.wantClose(4009)
	if e := w.log.await(t, "session closed", 1)[0]; e["code"] != 4009.0 || e["session"] != sessions[1].ID {
		t.Errorf("logged %v", e)
	}

	admin.want(t, "PUT", "/log-level", `{"level":"debug"}`, http.StatusOK, `{"level":"debug"}`)
	admin.want(t, "GET", "/log-level", "", http.StatusOK, `{"level":"debug"}`)
	for _, body := range []string{`{"level":"loud"}`, `{"level":5}`, `{}`, `{"level":"info","x":1}`, ``} {
		admin.want(t, "PUT", "/log-level", body, http.StatusBadRequest, "invalid_request")
	}
	admin.want(t, "GET", "/debug/pprof/goroutine?debug=1", "", http.StatusOK, "goroutine profile")
	admin.want(t, "GET", "/debug/pprof/cmdline", "", http.StatusOK, "rtdb")
	for _, path := range []string{"/data/a", "/ws", "/events?key=a", "/nothing"} {
		admin.want(t, "GET", path, "", http.StatusNotFound, "not_found")
	}
	answer := w.with(t, "GET", "/metrics", "", "Authorization", "Bearer "+token(t, `{"admin":true}`, 1e12))
	if answer.StatusCode != http.StatusNotFound {
		t.Errorf("/metrics on the other listener: %d", answer.StatusCode)
	}
}

// The operator's listener asks for no token, so pages may not call it: neither a page that
// the other listener allows, nor one whose name points to this address.
func TestNoPageCallsTheAdminListener(t *testing.T) {
	w := newWire(t, transport.Options{Admin: true, AllowedOrigins: []string{"https://app.example"}})
	admin := *w
	admin.addr = w.adminListener(t)
	for name, c := range map[string]struct {
		headers []string
		status  int
	}{
		"no page":             {nil, 200},
		"a container's name":  {[]string{"Host", "rtdb:9090"}, 200},
		"an address":          {[]string{"Host", "10.0.0.7:9090"}, 200},
		"an allowed page":     {[]string{"Origin", "https://app.example"}, 403},
		"a rebound name":      {[]string{"Host", "evil.example"}, 403},
		"a picture in a page": {[]string{"Sec-Fetch-Site", "cross-site"}, 403},
	} {
		r, err := http.NewRequest("GET", "http://"+admin.addr+"/sessions", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(c.headers); i += 2 {
			r.Header.Set(c.headers[i], c.headers[i+1])
			if c.headers[i] == "Host" {
				r.Host = c.headers[i+1]
			}
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != c.status || answer.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %v, want %d", name, answer.StatusCode, answer.Header, c.status)
		}
	}
}

// The log and the list of sessions name the subject of a session's token. A subject cannot
// break a line, and is cut to 128 bytes.
func TestTheSubjectOfASession(t *testing.T) {
	w := newWire(t, transport.Options{Keys: testKeys(t), Anonymous: &auth.Grants{Read: []string{"#"}}})
	operator := token(t, `{"admin":true}`, time.Hour)
	const long = "ü" // two bytes, so that the cut is inside one
	for subject, shown := range map[string]string{
		"":                              "",
		"me":                            "me",
		`a"b\c`:                         `a"b\c`,
		"a\nb\r\x00\u2028\u0085\u202e":  "a\ufffdb\ufffd\ufffd\ufffd\ufffd\ufffd",
		"a\xffb":                        "a\ufffdb",
		"x" + strings.Repeat(long, 200): "x" + strings.Repeat(long, 63),
	} {
		before, asked := len(w.log.lines(t, "session closed")), len(w.log.lines(t, "http request"))
		text := tokenOf(t, subject, `{"read":["#"]}`, time.Hour)
		first := w.dialAs(t, text)
		first.wantCode(`{"id":1,"action":"subscribe","key":"a"}`, "")
		later := w.dialAs(t, "")
		later.wantCode(`{"id":1,"action":"subscribe","key":"a"}`, "")
		later.wantCode(fmt.Sprintf(`{"id":2,"action":"auth","token":%q}`, text), "")
		r, err := http.NewRequest("GET", "http://"+w.addr+"/sessions", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+operator)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var list struct{ Sessions []map[string]any }
		err = json.NewDecoder(answer.Body).Decode(&list)
		_ = answer.Body.Close()
		if err != nil || len(list.Sessions) != 2 {
			t.Fatalf("%v, %v", list, err)
		}
		want := func(what string, event map[string]any, shown string) {
			t.Helper()
			got, present := event["subject"]
			if present != (shown != "") || present && got != shown {
				t.Errorf("%q in %s: %q, want %q", subject, what, got, shown)
			}
		}
		for _, s := range list.Sessions {
			want("/sessions", s, shown)
		}
		w.with(t, "GET", "/data", "", "Authorization", "Bearer "+text)
		for _, c := range []*peer{first, later} {
			_ = c.NetConn().Close()
		}
		opened := w.log.await(t, "session opened", before+2)
		want("session opened", opened[before], shown)
		want("session opened without a token", opened[before+1], "")
		for _, e := range w.log.await(t, "session closed", before+2)[before:] {
			want("session closed", e, shown)
		}
		requests := w.log.await(t, "http request", asked+4)[asked:] // of three connections, so in any order
		read := slices.IndexFunc(requests, func(e map[string]any) bool { return e["route"] == "/data" })
		want("http request", requests[read], shown)
	}
	for line := range strings.Lines(w.log.text()) {
		if strings.ContainsAny(line, "\u2028\u0085\u202e") || !utf8.ValidString(line) {
			t.Errorf("a line that can break: %q", line)
		}
	}
}

// An operator who has read in the log that a session was opened finds the session.
func TestASessionIsFoundBeforeTheLogNamesIt(t *testing.T) {
	var server *transport.Server
	found := make(chan int, 2)
	ks, err := keyspace.Open(keyspace.Options{Store: keyspace.NewMemory(1)})
	if err != nil {
		t.Fatal(err)
	}
	server = transport.NewServer(ks, transport.Options{Logger: zerolog.New(io.Discard).Hook(zerolog.HookFunc(
		func(_ *zerolog.Event, _ zerolog.Level, message string) {
			if message == "session opened" {
				found <- server.Sessions()
			}
		}))})
	listener := httptest.NewServer(server)
	defer listener.Close()
	socket, _, err := websocket.DefaultDialer.Dial(strings.Replace(listener.URL, "http", "ws", 1)+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := <-found; got != 1 {
		t.Errorf("%d sessions when the log names the WebSocket, want 1", got)
	}
	stream, err := http.Get(listener.URL + "/events?key=k")
	if err != nil {
		t.Fatal(err)
	}
	if got := <-found; got != 2 {
		t.Errorf("%d sessions when the log names the event stream, want 2", got)
	}
	_, _ = socket.Close(), stream.Body.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := errors.Join(server.Shutdown(ctx), ks.Shutdown(ctx)); err != nil {
		t.Error(err)
	}
}
