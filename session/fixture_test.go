package session_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"rtdb/keyspace"
	"rtdb/session"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// A fakeConn is a client in memory.
type fakeConn struct {
	gate chan struct{} // each Send waits for it; may be nil
	fail error         // what Send returns
	boom bool          // Send panics

	mu     sync.Mutex
	got    []string
	kept   []string // TrySend could not send them
	sends  int
	causes []error
}

func (c *fakeConn) Send(messages []session.Message) error {
	if c.gate != nil {
		<-c.gate
	}
	if c.boom {
		panic("a broken connection")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return c.fail
	}
	c.sends++
	c.got = append(c.got, c.kept...)
	c.kept = nil
	for _, m := range messages {
		c.got = append(c.got, string(m.Text()))
	}
	return nil
}

// TrySend sends everything or, if there is a gate, nothing.
func (c *fakeConn) TrySend(messages []session.Message) (done bool, err error) {
	if c.gate == nil {
		return true, c.Send(messages)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range messages {
		c.kept = append(c.kept, string(m.Text()))
	}
	return false, nil
}

func (c *fakeConn) Close(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.causes = append(c.causes, cause)
}

// want expects all messages so far.
func (c *fakeConn) want(t *testing.T, messages ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.got, messages) {
		t.Errorf("the client got\n\t%s\nwant\n\t%s", strings.Join(c.got, "\n\t"), strings.Join(messages, "\n\t"))
	}
}

// wantClosed expects one call of Close.
func (c *fakeConn) wantClosed(t *testing.T, cause error) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.causes) != 1 || !errors.Is(c.causes[0], cause) {
		t.Errorf("Close was called with %v, want once with %v", c.causes, cause)
	}
}

// encoder writes updates as JSON, without their versions.
var encoder = &session.Encoder{
	Update: func(u *keyspace.Update) []byte {
		kind, value := "key", string(u.Value)
		if u.Target.Kind == keyspace.KindTopic {
			kind = "topic"
		}
		switch {
		case u.Missed && u.Target.Kind == keyspace.KindTopicPattern:
			return fmt.Appendf(nil, `{"topicPattern":%q,"missed":true}`, u.Target.Name)
		case u.Missed:
			return fmt.Appendf(nil, `{"topic":%q,"missed":true}`, u.Target.Name)
		case u.Value == nil:
			value = `null,"deleted":true`
		}
		return fmt.Appendf(nil, `{"%s":%q,"value":%s}`, kind, u.Target.Name, value)
	},
	Missed: func(topic string, n uint64) []byte {
		return fmt.Appendf(nil, `{"topic":%q,"missed":%d}`, topic, n)
	},
}

func targets(all ...keyspace.Target) []keyspace.Target { return all }

// noReply is a reply to Subscribe that is not sent.
func noReply(keyspace.Mark) []byte { return nil }

var errDone = errors.New("the test is over")

// A fixture is a session in a synctest bubble. It ends with the test.
type fixture struct {
	*session.Session
	ks   *keyspace.Keyspace
	conn *fakeConn
}

// inBubble runs a test with a session in a synctest bubble.
func inBubble(t *testing.T, o session.Options, conn *fakeConn, test func(t *testing.T, f fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ks, err := keyspace.Open(keyspace.Options{Store: keyspace.NewMemory(1)})
		if err != nil {
			t.Fatal(err)
		}
		if conn.gate != nil {
			conn.gate = make(chan struct{}) // a channel must be of this bubble
		}
		o.Encoder = encoder
		f := fixture{session.New(ks, conn, o), ks, conn}
		test(t, f)
		f.Close(errDone)
		if _, err := f.End(context.Background()); err != nil {
			t.Errorf("End: %v", err)
		}
		if err := ks.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

// set writes a key.
func (f fixture) set(t *testing.T, key, value string) {
	t.Helper()
	if _, err := f.ks.Set(t.Context(), key, []byte(value)); err != nil {
		t.Fatal(err)
	}
}

// subscribe subscribes to keys, without a snapshot.
func (f fixture) subscribe(t *testing.T, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if err := f.Subscribe(t.Context(), targets(keyspace.Key(key)), session.Start{}, noReply); err != nil {
			t.Fatal(err)
		}
	}
}

func (f fixture) subscribeTopic(t *testing.T, topic string) {
	t.Helper()
	if err := f.Subscribe(t.Context(), targets(keyspace.Topic(topic)), session.Start{}, noReply); err != nil {
		t.Fatal(err)
	}
}

// publish publishes to a topic and waits until the session has the message.
func (f fixture) publish(t *testing.T, topic, value string) {
	t.Helper()
	if err := f.ks.Publish(t.Context(), topic, []byte(value)); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}
