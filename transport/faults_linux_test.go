package transport_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/keyspace"
	"rtdb/transport"
)

// readerTarget names the URL that the process of serveReader connects to.
const readerTarget = "RTDB_READER_TARGET"

// serveReader is a client that reads until its process ends. It is one of the servers
// because they have a process of their own. It does not use the listener.
func serveReader(net.Listener) error {
	c, _, err := websocket.DefaultDialer.Dial(os.Getenv(readerTarget), nil)
	if err != nil {
		return err
	}
	if err := c.WriteMessage(websocket.TextMessage, []byte(`{"action":"subscribe","pattern":"#"}`)); err != nil {
		return err
	}
	if err := c.WriteMessage(websocket.TextMessage, []byte(`{"action":"set","key":"ready","value":1}`)); err != nil {
		return err
	}
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			return err
		}
	}
}

// A client whose process is stopped takes nothing. It is closed 10 s after the kernel's
// buffer for it is full, and other clients go on.
func TestAStoppedProcessIsClosed(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 10 s")
	}
	t.Parallel()
	w := newWire(t, transport.Options{FlushInterval: transport.DefaultFlushInterval})
	screen := w.dial(t)
	screen.ask(`{"action":"subscribe","keys":["k","ready"],"id":1}`, `{"id":1,"ok":true,"revision":0,"epoch":"e"}`)
	client := exec.Command(os.Args[0])
	client.Env = append(os.Environ(), serverVariable+"=reader", readerTarget+"=ws://"+w.addr+"/ws")
	client.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if _, err := client.StdinPipe(); err != nil { // the client ends when this pipe does
		t.Fatal(err)
	}
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = client.Process.Kill()
		_ = client.Wait()
	}()
	screen.want(`{"key":"ready","value":1}`)
	if err := client.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	value := quote(strings.Repeat("x", 60_000))
	start := time.Now()
	for len(w.log.lines(t, "session closed")) == 0 {
		if time.Since(start) > patience {
			t.Fatal("the stopped client was not closed")
		}
		if _, err := w.keyspace.Set(t.Context(), "k", []byte(value)); err != nil {
			t.Fatal(err)
		}
		screen.want(`{"key":"k","value":` + value + `}`)
	}
	e := w.log.lines(t, "session closed")[0]
	if took := time.Since(start); e["code"] != 4008.0 || took < transport.StallTimeout {
		t.Errorf("logged %v after %v, want 4008 after %v", e, took, transport.StallTimeout)
	}
}

// A slowReader reads at most step bytes every pause.
type slowReader struct {
	net.Conn
	step  int
	pause time.Duration
}

func (r slowReader) Read(p []byte) (int, error) {
	time.Sleep(r.pause)
	return r.Conn.Read(p[:min(len(p), r.step)])
}

// A client on a slow link stays, gets the newest values, and in the end has the current
// state. Its updates are not old, because the kernel keeps few bytes for it.
func TestAClientOnASlowLinkGetsTheNewest(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	t.Parallel()
	w := newWire(t, transport.Options{FlushInterval: transport.DefaultFlushInterval})
	dialer := websocket.Dialer{NetDial: func(network, address string) (net.Conn, error) {
		c, err := net.Dial(network, address)
		if err != nil {
			return nil, err
		}
		_ = c.(*net.TCPConn).SetReadBuffer(16 << 10)
		return slowReader{c, 8 << 10, 20 * time.Millisecond}, nil // 400 KB/s
	}}
	c, _, err := dialer.Dial("ws://"+w.addr+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	slow := &peer{c, t}
	defer func() { _ = c.Close() }()
	slow.ask(`{"action":"subscribe","pattern":"#","id":1}`, `{"id":1,"ok":true,"revision":0,"epoch":"e"}`)

	const keys, padding = 20, 1000
	start := time.Now()
	written := make(chan int64, 1)
	go func() {
		n := int64(0)
		for time.Since(start) < 3*time.Second {
			n++
			value := fmt.Appendf(nil, `{"n":%d,"at":%d,"x":"%s"}`, n, time.Since(start), strings.Repeat("x", padding))
			if _, err := w.keyspace.Set(t.Context(), fmt.Sprint("k", n%keys), value); err != nil {
				t.Error(err)
				break
			}
			if n%4 == 0 { // about 5 MB a second
				time.Sleep(time.Millisecond)
			}
		}
		written <- n
	}()
	last := make(map[string]int64)
	got, total := 0, int64(-1)
	var oldest time.Duration
	current := func() bool {
		for i := range int64(keys) {
			if n := total - i; last[fmt.Sprint("k", n%keys)] != n {
				return false
			}
		}
		return true
	}
	for total < 0 || !current() {
		var m struct {
			Key   string
			Value struct{ N, At int64 }
		}
		if err := json.Unmarshal([]byte(slow.receive()), &m); err != nil {
			t.Fatal(err)
		}
		if m.Value.N <= last[m.Key] {
			t.Fatalf("%s goes from %d to %d", m.Key, last[m.Key], m.Value.N)
		}
		last[m.Key] = m.Value.N
		got++
		oldest = max(oldest, time.Since(start)-time.Duration(m.Value.At))
		select {
		case total = <-written:
		default:
		}
	}
	if int64(got) > total*3/4 {
		t.Errorf("%d of %d updates came: the client was not slow", got, total)
	}
	if len(w.log.lines(t, "session closed")) != 0 {
		t.Error("the client was closed")
	}
	t.Logf("%d of %d updates came, the oldest after %v", got, total, oldest)
}

// flood writes a frame again and again until a write fails or stop is closed.
func flood(c net.Conn, frame []byte, stop <-chan struct{}) {
	block := bytes.Repeat(frame, (64<<10)/len(frame))
	for {
		select {
		case <-stop:
			return
		default:
		}
		if _, err := c.Write(block); err != nil {
			return
		}
	}
}

// A message must be complete in time even if its frames come without a pause. Here it has
// empty frames without an end.
func TestAMessageThatNeverEndsTimesOut(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 10 s")
	}
	t.Parallel()
	w := newWire(t, transport.Options{})
	c := handshake(t, w.addr)
	if _, err := c.Write([]byte{0x01, 0x81, 0, 0, 0, 0, '{'}); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	late := time.AfterFunc(patience, func() { close(stop) })
	defer late.Stop()
	flood(c, []byte{0x00, 0x80, 0, 0, 0, 0}, stop)
	_ = c.Close()
	if e := w.log.await(t, "session closed", 1)[0]; e["code"] != 1008.0 {
		t.Errorf("logged %v, want 1008", e)
	}
}

// A client that goes on sending holds up a shutdown only for the time that its close
// frame has.
func TestAFloodDoesNotHoldUpAShutdown(t *testing.T) {
	w := newWire(t, transport.Options{})
	c := handshake(t, w.addr)
	defer c.Close()
	stop := make(chan struct{})
	var flooding sync.WaitGroup
	flooding.Go(func() {
		request := `{"action":"publish","topic":"t","value":1}`
		flood(c, append([]byte{0x81, 0x80 | byte(len(request)), 0, 0, 0, 0}, request...), stop)
	})
	defer flooding.Wait()
	defer close(stop)
	w.log.await(t, "session opened", 1)
	start := time.Now()
	if err := w.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("Shutdown took %v, want about %v", took, transport.CloseTimeout)
	}
}

// Sessions are cut off while a request waits for the store. This is for the race
// detector: the reader and the close must not use anything together.
func TestSessionsMayBeCutOffDuringARequest(t *testing.T) {
	for range 5 {
		w := newWire(t, transport.Options{})
		gate := make(chan struct{})
		w.store.hold(func(keyspace.Record) { <-gate })
		request := `{"action":"set","key":"k","value":1,"id":1}`
		for range 40 {
			c := handshake(t, w.addr)
			defer c.Close()
			if _, err := c.Write(append([]byte{0x81, 0x80 | byte(len(request)), 0, 0, 0, 0}, request...)); err != nil {
				t.Fatal(err)
			}
		}
		w.log.await(t, "session opened", 40)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		_ = w.Shutdown(ctx) // its time is too short on purpose
		cancel()
		close(gate)
	}
}
