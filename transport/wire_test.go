package transport_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"rtdb/keyspace"
	"rtdb/transport"
	"rtdb/transport/transporttest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// A wire is a server on a real socket, with versions from 1 on.
type wire struct {
	*transport.Server
	keyspace *keyspace.Keyspace
	store    *gatedStore
	addr     string
	log      *logBuffer
}

// gatedStore holds commits back where a test says so.
type gatedStore struct {
	keyspace.Store
	mu   sync.Mutex
	gate func(keyspace.Write) // called before each commit, where set
	last uint64               // the highest version that was given
}

func (s *gatedStore) Commit(ctx context.Context, writes []keyspace.Write) error {
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		gate(writes[0])
	}
	err := s.Store.Commit(ctx, writes)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.last = max(s.last, writes[len(writes)-1].Version)
	}
	return err
}

func (s *gatedStore) highest() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *gatedStore) hold(gate func(keyspace.Write)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate = gate
}

func newWire(t testing.TB, o transport.Options) *wire {
	t.Helper()
	return newWireOn(t, keyspace.Options{}, o)
}

// newWireOn has the keyspace's options, too, but for its store.
func newWireOn(t testing.TB, k keyspace.Options, o transport.Options) *wire {
	t.Helper()
	w := &wire{store: &gatedStore{Store: keyspace.NewMemory(1)}, log: newLogBuffer()}
	k.Store = w.store
	ks, err := keyspace.Open(k)
	if err != nil {
		t.Fatal(err)
	}
	logger := zerolog.New(w.log)
	o.Logger = logger
	w.keyspace, w.Server = ks, transport.NewServer(ks, o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = l.Addr().String()
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := w.Serve(l); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := w.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		serving.Wait()
		if err := ks.Shutdown(ctx); err != nil {
			t.Errorf("keyspace: %v", err)
		}
		transporttest.CheckEvents(t, "../cmd/rtdb/README.md", slices.Collect(strings.Lines(w.log.text())))
	})
	return w
}

// settle returns when all writes that were answered have been told: a writer
// has its answer before that.
func (w *wire) settle() {
	for w.keyspace.Revision() < w.store.highest() {
		runtime.Gosched()
	}
}

// logBuffer keeps the lines of the log.
type logBuffer struct {
	grown chan struct{} // gets a token when data has

	mu   sync.Mutex
	data bytes.Buffer
}

func newLogBuffer() *logBuffer { return &logBuffer{grown: make(chan struct{}, 1)} }

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.grown <- struct{}{}:
	default:
	}
	return b.data.Write(p)
}

func (b *logBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

// lines returns the log's events with the message, parsed.
func (b *logBuffer) lines(t testing.TB, message string) (events []map[string]any) {
	t.Helper()
	for line := range strings.Lines(b.text()) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Errorf("a broken line in the log: %q", line)
			continue
		}
		if e["message"] == message {
			events = append(events, e)
		}
	}
	return events
}

// await waits for n events with the message.
func (b *logBuffer) await(t testing.TB, message string, n int) []map[string]any {
	t.Helper()
	for timeout := time.After(patience); ; {
		if events := b.lines(t, message); len(events) >= n {
			return events
		}
		select {
		case <-b.grown:
		case <-timeout:
			t.Fatalf("no %d events %q in the log:\n%s", n, message, b.text())
		}
	}
}

// call makes a REST request and returns the answer, its body read.
func (w *wire) call(t testing.TB, method, path, body string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+w.addr, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.URL.Opaque = "//" + w.addr + path // as it is
	if method == http.MethodOptions && path == "*" {
		r.URL.Opaque = "*"
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer, string(text)
}

func (w *wire) want(t testing.TB, method, path, body string, status int, want string) {
	t.Helper()
	answer, text := w.call(t, method, path, body)
	if answer.StatusCode != status || !strings.Contains(text, want) {
		t.Errorf("%s %s %.80s: %d %s, want %d with %s", method, path, body, answer.StatusCode, text, status, want)
	}
}

// A peer is a client that this project did not write: gorilla/websocket.
type peer struct {
	*websocket.Conn
	t testing.TB
}

func (w *wire) dial(t testing.TB) *peer {
	t.Helper()
	c, _, err := websocket.DefaultDialer.Dial("ws://"+w.addr+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &peer{c, t}
}

func (p *peer) send(message string) {
	p.t.Helper()
	if err := p.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
		p.t.Fatalf("send %.80s: %v", message, err)
	}
}

func (p *peer) receive() string {
	p.t.Helper()
	_ = p.SetReadDeadline(time.Now().Add(patience))
	kind, message, err := p.ReadMessage()
	if err != nil {
		p.t.Fatalf("receive: %v", err)
	}
	if kind != websocket.TextMessage {
		p.t.Fatalf("received a message of kind %d", kind)
	}
	return string(message)
}

func (p *peer) want(messages ...string) {
	p.t.Helper()
	for _, want := range messages {
		if got := p.receive(); got != want {
			p.t.Fatalf("received %s, want %s", got, want)
		}
	}
}

// ask sends a request and wants the reply.
func (p *peer) ask(message, want string) {
	p.t.Helper()
	p.send(message)
	p.want(want)
}

// wantClose reads on until the server's close frame, and wants its code.
func (p *peer) wantClose(code int) {
	p.t.Helper()
	_ = p.SetReadDeadline(time.Now().Add(patience))
	for {
		_, _, err := p.ReadMessage()
		if err == nil {
			continue
		}
		var closed *websocket.CloseError
		if !errors.As(err, &closed) || closed.Code != code {
			p.t.Fatalf("the connection ended with %v, want close code %d", err, code)
		}
		return
	}
}

// errorCode is the code in an error body or reply, "" where it is none.
func errorCode(t testing.TB, text string) string {
	t.Helper()
	var body struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		t.Errorf("not JSON: %q", text)
	}
	if body.Error.Code != "" && len(body.Error.Message) < 10 {
		t.Errorf("no message to act on: %s", text)
	}
	return body.Error.Code
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprint(err))
	}
	return string(b)
}
