package jetstream_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
	"rtdb/transport/transporttest"
)

// A node notices within seconds that nothing is read from its connection, although it has much
// to send, and nobody waits for longer than a commit may take.
func TestTheConnectionStalls(t *testing.T) {
	longOnly(t)
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	p := transporttest.NewProxy(t, c.Server(0).Addr())
	cutOff := make(chan struct{})
	var once sync.Once
	a := start(t, jetstream.Options{URL: "nats://" + p.Addr, Node: "a", Observer: jetstream.Observer{
		CutOff: func(error, time.Time) { once.Do(func() { close(cutOff) }) },
	}})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer p.Stall(false)
	defer stop()
	value := bytes.Repeat([]byte("1"), 512<<10)
	running.Go(func() {
		for ctx.Err() == nil {
			if a.Publish(ctx, "t", value) != nil {
				<-time.After(time.Millisecond)
			}
		}
	})
	p.Stall(true)
	began := time.Now()
	<-time.After(100 * time.Millisecond)
	written := make(chan time.Duration, 1)
	running.Go(func() {
		_, _ = a.Write(t.Context(), "k", keyspace.Change{Value: []byte("1")})
		written <- time.Since(began)
	})
	select {
	case <-cutOff:
	case <-time.After(patience):
	}
	if took := time.Since(began); took > 7*time.Second {
		t.Errorf("the node was cut off after %v", took)
	}
	select {
	case took := <-written:
		if took > writeLimit {
			t.Errorf("a write took %v", took)
		}
	case <-time.After(patience):
		t.Error("a write never ends")
	}
}

// A store whose connection was given up for ever says so, and ends.
func TestTheConnectionIsGivenUp(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	clients := make(chan net.Conn, 1)
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	t.Cleanup(func() { _ = l.Close() })
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", c.Server(0).Addr())
			if err != nil {
				t.Error(err)
				return
			}
			running.Go(func() { _, _ = io.Copy(server, client); _ = server.Close() })
			running.Go(func() { _, _ = io.Copy(client, server); _ = client.Close() })
			clients <- client
		}
	})
	failed := make(chan error, 1)
	start(t, jetstream.Options{URL: "nats://" + l.Addr().String(), Node: "a", Observer: jetstream.Observer{Failed: func(err error) { failed <- err }}})
	if _, err := (<-clients).Write([]byte("-ERR 'Out of Order'\r\n")); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-failed:
		if !strings.Contains(err.Error(), "out of order") && !strings.Contains(err.Error(), "Out of Order") {
			t.Errorf("%v, want the reason", err)
		}
	case <-time.After(patience):
		t.Error("nobody is told")
	}
}

// The error of a URL that is not valid does not show its password.
func TestOpenHidesThePassword(t *testing.T) {
	for _, url := range []string{"nats://u:secret@host:abc", "nats://u:sec ret@host:1", "nats://u:secret@[::1:4222", "nats://u:secret/x@host:1"} {
		if _, err := jetstream.Open(jetstream.Options{URL: url}); err == nil || strings.Contains(err.Error(), "sec") {
			t.Errorf("%v, want an error without the password", err)
		}
	}
}
