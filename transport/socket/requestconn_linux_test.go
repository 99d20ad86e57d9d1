package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/nettest"
)

// requestPair returns a connection as net/http gets it, and the client's end.
func requestPair(t testing.TB, network, address string) (server, client net.Conn) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial(network, l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = (Listener{l}).Accept(); err != nil {
		t.Fatal(err)
	}
	if _, ok := server.(*requestConn); !ok {
		t.Fatalf("the connection is a %T", server)
	}
	t.Cleanup(func() {
		_ = client.Close()
		_ = server.Close()
	})
	return server, client
}

// A requestConn is a net.Conn as package net's own are.
func TestRequestConnIsAConn(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		address := func() string {
			if network == "unix" {
				return filepath.Join(t.TempDir(), "s")
			}
			return "127.0.0.1:0"
		}
		t.Run(network, func(t *testing.T) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				c1, c2 = requestPair(t, network, address())
				return c1, c2, func() { _ = c1.Close(); _ = c2.Close() }, nil
			})
		})
	}
}

const (
	soon = 30 * time.Millisecond
	late = 10 * time.Second
)

// A read waits for its own deadline, whatever those before it were.
func TestRequestConnReadsUntilTheLastDeadline(t *testing.T) {
	for name, move := range map[string]func(server net.Conn) error{
		"later": func(c net.Conn) error { return c.SetReadDeadline(time.Now().Add(late)) },
		"none":  func(c net.Conn) error { return c.SetReadDeadline(time.Time{}) },
		"passed": func(c net.Conn) error {
			return errors.Join(c.SetReadDeadline(time.Unix(1, 0)), c.SetDeadline(time.Time{}))
		},
	} {
		server, client := requestPair(t, "tcp", "127.0.0.1:0")
		if err := server.SetReadDeadline(time.Now().Add(soon)); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 10)
		read := func(want string) {
			t.Helper()
			if n, err := server.Read(p); err != nil || string(p[:n]) != want {
				t.Fatalf("%s: read %q, %v, want %q", name, p[:n], err, want)
			}
		}
		write := func(text string) {
			if _, err := io.WriteString(client, text); err != nil {
				t.Error(err)
			}
		}
		write("a")
		read("a") // now the connection below has the first deadline
		if err := move(server); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(3*soon, func() { write("b") })
		read("b")
		timer.Stop()
		if err := server.SetReadDeadline(time.Now().Add(soon)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := server.Read(p); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) < soon {
			t.Errorf("%s: the last read returned %v after %v", name, err, time.Since(start))
		}
		if _, err := server.Read(p); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: a read after the deadline returned %v", name, err)
		}
	}
}

// A deadline that is set while a read waits ends it, and one that moves back lets it wait on.
func TestRequestConnMovesTheDeadlineOfAReadUnderWay(t *testing.T) {
	server, client := requestPair(t, "tcp", "127.0.0.1:0")
	if err := server.SetReadDeadline(time.Now().Add(2 * soon)); err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() {
		_, err := server.Read(make([]byte, 10))
		result <- err
	}()
	<-time.After(soon)
	if err := server.SetReadDeadline(time.Now().Add(late)); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-result:
		t.Fatalf("the read ended with %v", err)
	case <-time.After(3 * soon):
	}
	if err := server.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the read returned %v", err)
	}
	_ = client.Close()
	if err := server.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(make([]byte, 10)); err != io.EOF {
		t.Errorf("after the client has gone a read returned %v", err)
	}
}

// A write that the kernel does not take at once waits for its own deadline, too.
func TestRequestConnWritesUntilTheLastDeadline(t *testing.T) {
	server, client := requestPair(t, "tcp", "127.0.0.1:0")
	const size = 32 << 20
	received := make(chan int64, 1)
	go func() {
		<-time.After(4 * soon)
		n, _ := io.CopyN(io.Discard, client, size)
		received <- n
	}()
	text := make([]byte, size)
	_ = server.SetWriteDeadline(time.Now().Add(soon))
	n, err := server.Write(text)
	if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n == size {
		t.Fatalf("wrote %d bytes, %v", n, err)
	}
	if more, err := server.Write(text[:1]); more != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline wrote %d bytes, %v", more, err)
	}
	_ = server.SetWriteDeadline(time.Now().Add(late))
	if rest, err := server.Write(text[n:]); err != nil || rest != size-n {
		t.Errorf("then wrote %d of %d bytes, %v", rest, size-n, err)
	}
	if n := <-received; n != size {
		t.Errorf("the client got %d bytes", n)
	}
}

// Who takes the connection over gets the one below, without the deadlines of requests.
func TestRequestConnIsTakenOver(t *testing.T) {
	server, client := requestPair(t, "tcp", "127.0.0.1:0")
	_ = server.SetReadDeadline(time.Now().Add(soon))
	_, _ = io.WriteString(client, "a")
	if _, err := server.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_ = server.SetDeadline(time.Time{}) // as net/http does
	taken := takenOver(server)
	if _, ok := taken.(*net.TCPConn); !ok {
		t.Fatalf("it is a %T", taken)
	}
	timer := time.AfterFunc(3*soon, func() { _, _ = io.WriteString(client, "b") })
	defer timer.Stop()
	p := make([]byte, 1)
	if _, err := taken.Read(p); err != nil || string(p) != "b" {
		t.Errorf("read %q, %v", p, err)
	}
	if _, err := server.Write(p); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a write by the former owner returned %v", err)
	}
	if err := server.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the former owner may set a deadline: %v", err)
	}
}

// What several goroutines write at once stays whole, and a read of nothing does not wait.
func TestRequestConnKeepsWritesWhole(t *testing.T) {
	server, client := requestPair(t, "tcp", "127.0.0.1:0")
	if n, err := server.Read(nil); n != 0 || err != nil {
		t.Errorf("read %d bytes of nothing, %v", n, err)
	}
	const writers, size = 4, 1 << 20
	var writing sync.WaitGroup
	for i := range writers {
		writing.Go(func() {
			if _, err := server.Write(bytes.Repeat([]byte{byte(i)}, size)); err != nil {
				t.Error(err)
			}
		})
		writing.Go(func() {
			if _, err := server.Write(bytes.Repeat([]byte{byte(i)}, maxRawWrite)); err != nil {
				t.Error(err)
			}
		})
	}
	all := make([]byte, writers*(size+maxRawWrite))
	if _, err := io.ReadFull(client, all); err != nil {
		t.Fatal(err)
	}
	writing.Wait()
	changes := 0
	for i := 1; i < len(all); i++ {
		if all[i] != all[i-1] {
			changes++
		}
	}
	if changes >= 2*writers {
		t.Errorf("%d writes were mixed: the text changes %d times", 2*writers, changes)
	}
}

// Reads at the same time each end at the deadline.
func TestRequestConnReadsAtTheSameTime(t *testing.T) {
	server, _ := requestPair(t, "tcp", "127.0.0.1:0")
	for range 20 {
		var reading sync.WaitGroup
		_ = server.SetReadDeadline(time.Now().Add(soon / 10))
		for range 4 {
			reading.Go(func() {
				if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("a read returned %v", err)
				}
			})
		}
		reading.Wait()
	}
}

// Package net says that a connection is closed, even if its deadline has passed.
func TestRequestConnIsClosed(t *testing.T) {
	server, _ := requestPair(t, "tcp", "127.0.0.1:0")
	_ = server.SetDeadline(time.Unix(1, 0))
	_ = server.Close()
	_, readErr := server.Read(make([]byte, 1))
	_, writeErr := server.Write(make([]byte, 1))
	for what, err := range map[string]error{
		"a read": readErr, "a write": writeErr, "a deadline": server.SetReadDeadline(time.Now()), "Close": server.Close(),
	} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s after Close returned %v", what, err)
		}
	}
}
