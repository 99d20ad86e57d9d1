package natstest_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"rtdb/keyspace/jetstream/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// stream creates a stream with a replica on each server.
func stream(t *testing.T, c *natstest.Cluster) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(c.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	config := jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: c.Servers()}
	for ctx := within(t, 40*time.Second); ; { // a busy machine may lose the first answer
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, err := js.CreateStream(attempt, config)
		cancel()
		if err == nil {
			return js
		}
		if ctx.Err() != nil {
			t.Fatalf("create the stream: %v", err)
		}
	}
}

// publish publishes a message, and tries again until a leader stores it.
func publish(t *testing.T, js jetstream.JetStream, data string) {
	t.Helper()
	ctx := within(t, 40*time.Second)
	for {
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		_, err := js.Publish(attempt, "s", []byte(data), jetstream.WithMsgID(data))
		cancel()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("publish %q: %v", data, err)
		}
	}
}

// holds fails the test if message 1 of the stream has other data.
func holds(t *testing.T, js jetstream.JetStream, data string) {
	t.Helper()
	s, err := js.Stream(within(t, 40*time.Second), "S")
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetMsg(within(t, 40*time.Second), 1)
	if err != nil {
		t.Fatal(err)
	}
	if string(m.Data) != data {
		t.Errorf("message 1 is %q, want %q", m.Data, data)
	}
}

func TestARestartKeepsTheMessages(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	publish(t, stream(t, c), "one")
	pausedEnd := func() { c.Server(0).Stop(); c.Server(0).Terminate() }
	for _, end := range []func(){c.Server(0).Kill, c.Server(0).Terminate, pausedEnd} {
		end()
		if c.Server(0).Running() {
			t.Error("the server has ended, and runs")
		}
		c.Server(0).Restart()
		js, err := jetstream.New(c.Connect(t))
		if err != nil {
			t.Fatal(err)
		}
		holds(t, js, "one")
	}
}

func TestAStoppedServerAnswersAfterContinue(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{Lazy: true})
	nc := c.Connect(t)
	c.Server(0).Stop()
	if !c.Server(0).Running() {
		t.Error("a stopped server does not run")
	}
	if err := nc.FlushTimeout(100 * time.Millisecond); err != nats.ErrTimeout {
		t.Errorf("a stopped server: flush: %v, want a time-out", err)
	}
	c.Server(0).Continue()
	if err := nc.FlushTimeout(20 * time.Second); err != nil {
		t.Errorf("after Continue: flush: %v", err)
	}
}

func TestAnotherServerLeadsAfterAKill(t *testing.T) {
	if os.Getenv("RTDB_LONG_FAULTS") == "" { // as in package jetstream
		t.Skip("set RTDB_LONG_FAULTS=1 to run it: an election takes up to 10 s")
	}
	t.Parallel()
	c := natstest.Start(t, natstest.Options{Servers: 3})
	js := stream(t, c)
	publish(t, js, "one")
	first := c.Leader(t, "S")
	c.Server(first).Kill()
	if second := c.Leader(t, "S"); second == first {
		t.Errorf("server %d was killed, and still leads", first)
	}
	publish(t, js, "two")
	holds(t, js, "one")
	c.Server(first).Restart()
}

func TestAServerWithUsers(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{
		Config:  `authorization { user: ann, password: secret }`,
		Connect: []nats.Option{nats.UserInfo("ann", "secret")},
	})
	if nc, err := nats.Connect(c.URL()); err == nil {
		nc.Close()
		t.Error("the server accepts a client without a password")
	}
	publish(t, stream(t, c), "one")
	if got := c.Leader(t, "S"); got != 0 {
		t.Errorf("server %d leads, want 0", got)
	}
}

func TestAServerWithTLS(t *testing.T) {
	t.Parallel()
	for _, verify := range []bool{false, true} {
		c := natstest.Start(t, natstest.Options{TLS: true, Verify: verify})
		publish(t, stream(t, c), "one")
		if nc, err := nats.Connect(c.URL()); err == nil {
			nc.Close()
			t.Error("a client that does not know the authority is connected")
		}
		nc, err := nats.Connect(c.URL(), nats.RootCAs(c.Certificate().CA))
		if err == nil {
			nc.Close()
		}
		if got, want := err == nil, !verify; got != want {
			t.Errorf("verify is %t: a client without a certificate is connected: %t (%v)", verify, got, err)
		}
	}
}
