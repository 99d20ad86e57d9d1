//go:build unix

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// socketDir returns a directory whose path is short enough for a Unix socket.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rtdb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// A socketServer is a server on a Unix socket. Its address is known before it logs, so it
// serves the tests of logs that nobody reads.
type socketServer struct {
	t    *testing.T
	cmd  *exec.Cmd
	path string
	http http.Client
}

// startOnSocket runs a server whose standard error is the file. prepare, if it is not nil,
// may change the command.
func startOnSocket(t *testing.T, stderr *os.File, prepare func(*exec.Cmd), args ...string) *socketServer {
	t.Helper()
	s := &socketServer{t: t, path: filepath.Join(socketDir(t), "s")}
	s.http = http.Client{Timeout: patience, Transport: &http.Transport{DialContext: s.dial, DisableKeepAlives: true}}
	s.cmd = command(nil, append([]string{"--host", "unix:" + s.path}, args...)...)
	s.cmd.Stderr = stderr
	if prepare != nil {
		prepare(s.cmd)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill(); _ = s.cmd.Wait() })
	s.awaitReady()
	return s
}

func (s *socketServer) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", s.path)
}

// awaitReady returns when the server answers.
func (s *socketServer) awaitReady() {
	s.t.Helper()
	for deadline := time.After(patience); ; {
		c, err := s.dial(context.Background(), "", "")
		if err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-deadline:
			s.t.Fatalf("the server does not listen: %v", err)
		}
	}
}

// call makes a request and returns the status and the body.
func (s *socketServer) call(method, path, body string, header ...string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if len(header) > 0 {
		r.Header.Set(header[0], header[1])
	}
	answer, err := s.http.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// A socketClient is a WebSocket.
type socketClient struct {
	t *testing.T
	*websocket.Conn
}

func (s *socketServer) connect() socketClient {
	s.t.Helper()
	dialer := websocket.Dialer{NetDialContext: s.dial, HandshakeTimeout: patience}
	c, _, err := dialer.Dial("ws://db.example.com/ws", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(patience))
	return socketClient{s.t, c}
}

// ask sends a message and returns the reply.
func (c socketClient) ask(message string) string {
	c.t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
		c.t.Fatal(err)
	}
	_, text, err := c.ReadMessage()
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

// wantClose wants the server to close the WebSocket with the code.
func (c socketClient) wantClose(code int) {
	c.t.Helper()
	_, text, err := c.ReadMessage()
	var closed *websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != code {
		c.t.Errorf("the WebSocket got %s, %v; want close code %d", text, err, code)
	}
}

// wantEnd wants the process to end with exit status 0 within a few seconds.
func (s *socketServer) wantEnd() {
	s.t.Helper()
	timer := time.AfterFunc(patience, func() { _ = s.cmd.Process.Kill() })
	defer timer.Stop()
	began := time.Now()
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("the server ended with %v, want exit status 0", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		s.t.Errorf("it took %v to end", took)
	}
}

// A server on a Unix socket does what it does on a TCP port.
func TestUnixSocket(t *testing.T) {
	t.Parallel()
	dir := socketDir(t)
	path, admin := filepath.Join(dir, "rtdb.sock"), filepath.Join(dir, "admin.sock")
	stdout, stderr, status := runToEnd(t, []string{"HOST=unix:" + path}, "health")
	if status != 1 || strings.Count(stderr, "\n") != 1 {
		t.Errorf("health without a server: exit %d with %q %q", status, stdout, stderr)
	}
	p := start(t, []string{"HOST=unix:" + path, "ADMIN_ADDR=unix:" + admin, "TRUSTED_PROXIES=unix"})
	if p.started["addr"] != "unix:"+path || p.started["admin"].([]any)[0] != "unix:"+admin {
		t.Errorf("started with %v", p.started)
	}
	for _, file := range []string{path, admin} {
		info, err := os.Stat(file)
		if err != nil || info.Mode() != os.ModeSocket|0o660 {
			t.Errorf("%s: %v, %v; want a socket with mode 0660", file, info, err)
		}
	}
	if _, stderr, status := runToEnd(t, []string{"HOST=unix:" + path}, "health"); status != 0 {
		t.Errorf("health: exit %d with %s", status, stderr)
	}
	if _, stderr, status := runToEnd(t, nil, "bench", "--host", "unix:"+path, "--duration", "100ms", "--subscribers", "5"); status != 0 {
		t.Errorf("bench: exit %d with %s", status, stderr)
	}

	s := &socketServer{t: t, path: path}
	s.http = http.Client{Timeout: patience, Transport: &http.Transport{DialContext: s.dial, DisableKeepAlives: true}}
	c := s.connect() // with the Host of a public name
	if reply := c.ask(`{"action":"set","key":"k","value":1,"id":1}`); !strings.Contains(reply, `"ok":true`) {
		t.Errorf("set: %s", reply)
	}
	if _, text := s.call("GET", "/data/k", "", "X-Forwarded-For", "203.0.113.9, 192.0.2.7"); !strings.Contains(text, `"value":1`) {
		t.Errorf("get: %s", text)
	}
	a := &socketServer{t: t, path: admin}
	a.http = http.Client{Timeout: patience, Transport: &http.Transport{DialContext: a.dial, DisableKeepAlives: true}}
	if status, text := a.call("GET", "/sessions", ""); status != 200 || !strings.Contains(text, `"remote":"unix"`) {
		t.Errorf("sessions: %d %s", status, text)
	}
	if status, _ := s.call("GET", "/sessions", ""); status != 404 {
		t.Errorf("the main socket answers /sessions with %d", status)
	}
	_ = c.Close()
	p.await("session closed", 1)
	p.stop()
	for _, e := range p.log() {
		want := "unix"
		if e["key"] == "k" {
			want = "192.0.2.7"
		}
		if remote, ok := e["remote"]; ok && remote != want {
			t.Errorf("remote %v, want %s: %v", remote, want, e)
		}
	}
	for _, file := range []string{path, admin} {
		if _, err := os.Lstat(file); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s after the stop: %v", file, err)
		}
	}
}

// A socket's file that a killed server left behind is replaced. One that is in use is not,
// and neither is a file of another kind.
func TestUnixSocketThatExists(t *testing.T) {
	t.Parallel()
	path := filepath.Join(socketDir(t), "rtdb.sock")
	killed := start(t, nil, "--host", "unix:"+path)
	killed.signal(syscall.SIGKILL)
	_ = killed.wait()
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("the test wants a stale file: %v", err)
	}
	p := start(t, nil, "--host", "unix:"+path)
	refused := func(args []string, want string) {
		t.Helper()
		_, stderr, status := runToEnd(t, nil, args...)
		if status != 1 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%q: exit %d with %q, want %q", args, status, stderr, want)
		}
	}
	refused([]string{"--host", "unix:" + path}, "unix:"+path+": another server listens there")
	refused([]string{"--port", "0", "--admin-addr", "unix:" + path}, "--admin-addr ($ADMIN_ADDR): cannot listen on unix:"+path)
	if _, stderr, status := runToEnd(t, nil, "health", "--host", "unix:"+path); status != 0 {
		t.Errorf("the server that was first: exit %d with %s", status, stderr)
	}

	// The file is not removed if it is another server's by now.
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	q := start(t, nil, "--host", "unix:"+path)
	p.stop()
	if _, stderr, status := runToEnd(t, nil, "health", "--host", "unix:"+path); status != 0 {
		t.Errorf("the second server: exit %d with %s", status, stderr)
	}
	q.stop()

	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused([]string{"--host", "unix:" + path}, "not a socket")
	if text, err := os.ReadFile(path); string(text) != "precious" {
		t.Errorf("the file has %q, %v", text, err)
	}
	refused([]string{"--host", "unix:" + filepath.Join(path, "s")}, "not a directory")
	refused([]string{"--host", "unix:" + filepath.Join(filepath.Dir(path), "none", "s")}, "its directory does not exist")
}

// Of servers that start at the same time on a stale file, one listens and the others are
// refused.
func TestUnixSocketIsOneServers(t *testing.T) {
	path := filepath.Join(socketDir(t), "s")
	for range 20 {
		stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		stale.SetUnlinkOnClose(false)
		_ = stale.Close()
		type result struct {
			l   net.Listener
			err error
		}
		results := make(chan result)
		const servers = 4
		for range servers {
			go func() {
				l, err := listenUnix(path)
				results <- result{l, err}
			}()
		}
		listening := 0
		var all []net.Listener
		for range servers {
			r := <-results
			if r.err == nil {
				listening++
				all = append(all, r.l)
			}
		}
		if listening != 1 {
			t.Errorf("%d servers listen, want 1", listening)
		}
		for _, l := range all {
			_ = l.Close()
		}
	}
}

func TestKeyCommandsOnAUnixSocket(t *testing.T) {
	t.Parallel()
	s := startOnSocket(t, nil, nil)
	env := []string{"HOST=unix:" + s.path}
	for _, step := range []commandStep{
		{args: "set a 1", out: "V\n"}, {args: "get a", out: "1\n"}, {args: "list --keys", out: "a\n"}, {args: "delete --pattern # --yes", out: "1\n"},
	} {
		step.check(t, env)
	}
}
