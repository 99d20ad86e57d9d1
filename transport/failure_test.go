package transport_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"

	"rtdb/keyspace"
	"rtdb/transport"
)

func TestCloseCodes(t *testing.T) {
	w := newWire(t, transport.Options{MaxValueBytes: 1000})
	other := w.dial(t)
	for name, test := range map[string]struct {
		send func(p *peer)
		code int
	}{
		"binary": {func(p *peer) { _ = p.WriteMessage(websocket.BinaryMessage, []byte(`{"action":"ping"}`)) }, 1003},
		"invalid UTF-8": {func(p *peer) {
			_ = p.WriteMessage(websocket.TextMessage, []byte("{\"action\":\"get\",\"key\":\"\xff\"}"))
		}, 1007},
		"too big": {func(p *peer) {
			_ = p.WriteMessage(websocket.TextMessage, bytes.Repeat([]byte(" "), 1<<20+1001))
		}, 1009},
		"far too big": {func(p *peer) {
			_ = p.WriteMessage(websocket.TextMessage, bytes.Repeat([]byte("x"), 30<<20))
		}, 1009},
		"too big in pieces": {func(p *peer) {
			out, err := p.NextWriter(websocket.TextMessage)
			for range 200 {
				if err == nil {
					_, err = out.Write(bytes.Repeat([]byte(" "), 10_000))
				}
			}
			if err == nil {
				err = out.Close()
			}
			if err != nil {
				t.Error(err)
			}
		}, 1009},
		"reserved bits":   {func(p *peer) { rawWrite(p, "\xf1\x80\x00\x00\x00\x00") }, 1002},
		"unknown opcode":  {func(p *peer) { rawWrite(p, "\x83\x80\x00\x00\x00\x00") }, 1002},
		"unmasked":        {func(p *peer) { rawWrite(p, "\x81\x02{}") }, 1002},
		"stray fragment":  {func(p *peer) { rawWrite(p, "\x80\x80\x00\x00\x00\x00") }, 1002},
		"long ping":       {func(p *peer) { rawWrite(p, "\x89\xfe\x00\x7e\x00\x00\x00\x00") }, 1002},
		"negative length": {func(p *peer) { rawWrite(p, "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00") }, 1002},
		"a length of 2^63-1": {func(p *peer) {
			rawWrite(p, "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00"+strings.Repeat("x", 1<<20+1001))
		}, 1009},
		"by the client": {func(p *peer) {
			_ = p.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "bye"))
		}, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			p := w.dial(t)
			p.t = t
			// An earlier request is answered first.
			p.send(`{"action":"ping","id":1}`)
			test.send(p)
			if test.code != 1000 && test.code != 1002 {
				p.want(`{"id":1,"ok":true,"action":"pong"}`)
			}
			p.wantClose(test.code)
		})
	}
	other.ask(`{"action":"ping","id":1}`, `{"id":1,"ok":true,"action":"pong"}`)
	for _, e := range w.log.await(t, "session closed", 13) {
		if e["reason"] == "" || e["reason"] == "internal error" {
			t.Errorf("logged %v", e)
		}
	}
}

// A bug in the code that serves a WebSocket ends the process, and its stack is printed, although
// net/http recovers from panics.
func TestAPanicThatServesAWebSocketEndsTheProcess(t *testing.T) {
	const variable, bug = "RTDB_TEST_PANIC", "a bug in a hook"
	if os.Getenv(variable) != "" {
		o := transport.Options{Logger: zerolog.New(io.Discard).Hook(zerolog.HookFunc(func(_ *zerolog.Event, _ zerolog.Level, message string) {
			if message == "session opened" {
				panic(bug)
			}
		}))}
		ks, err := keyspace.Open(keyspace.Options{Store: keyspace.NewMemory(1)})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(transport.NewServer(ks, o))
		c, _, err := websocket.DefaultDialer.Dial(strings.Replace(server.URL, "http", "ws", 1)+"/ws", nil)
		if err == nil {
			_ = c.SetReadDeadline(time.Now().Add(patience))
			_, _, err = c.ReadMessage()
		}
		t.Fatalf("the process goes on: %v", err)
	}
	process := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	process.Env = append(os.Environ(), variable+"=1")
	text, err := process.CombinedOutput()
	if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("the process ended with %v, want 2", err)
	}
	if !bytes.Contains(text, []byte("panic: "+bug)) || !bytes.Contains(text, []byte("transport.(*core).enter")) {
		t.Errorf("the process prints\n%s\nwant the panic and its stack", text)
	}
}

// A panic in a key's actor fails the writes that are under way and nothing else: the
// writer gets the code internal, subscribers get no update, other keys go on, and the
// key takes the next write.
func TestAPanicInAKeysActorFailsOnlyItsWrite(t *testing.T) {
	panics := make(chan keyspace.Panic, 10)
	w := newWireOn(t, keyspace.Options{OnPanic: func(p keyspace.Panic) { panics <- p }}, transport.Options{})
	c, other := w.dial(t), w.dial(t)
	for _, p := range []*peer{c, other} {
		p.ask(`{"id":1,"action":"subscribe","keys":["k","l"]}`, `{"id":1,"ok":true,"revision":0,"epoch":"e"}`)
	}
	w.want(t, "POST", "/data/k", `{"value":1}`, http.StatusOK, `"version":1`)
	w.store.hold(func(keyspace.Record) { panic("the store has a bug") })
	w.want(t, "POST", "/data/k", `{"value":2}`, http.StatusInternalServerError, "internal")
	c.want(`{"key":"k","value":1}`)
	c.wantCode(`{"id":2,"action":"set","key":"k","value":3}`, "internal")
	w.want(t, "GET", "/data/k", "", http.StatusOK, `{"key":"k","value":1,"version":1,"at":1000}`)
	w.store.hold(nil)
	w.want(t, "POST", "/data/l", `{"value":4}`, http.StatusOK, `"version":2`)
	other.want(`{"key":"k","value":1}`, `{"key":"l","value":4}`) // updates of two keys have no order
	w.want(t, "POST", "/data/k", `{"value":5}`, http.StatusOK, `"version":3`)
	other.want(`{"key":"k","value":5}`)
	for range 2 { // one for each of the two writes
		if p := <-panics; p.Target != keyspace.Key("k") || len(p.Stack) == 0 {
			t.Errorf("OnPanic got %+v", p)
		}
	}
	if len(panics) != 0 {
		t.Errorf("OnPanic got %d more panics", len(panics))
	}
}
