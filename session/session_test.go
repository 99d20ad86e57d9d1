package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"rtdb/keyspace"
	"rtdb/session"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// fakeConn is a client in memory.
type fakeConn struct {
	gate chan struct{} // where set, each Send waits for it
	fail error         // what Send returns
	boom bool          // Send panics

	mu     sync.Mutex
	got    []string
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
	for _, m := range messages {
		c.got = append(c.got, string(m.Text))
	}
	return nil
}

func (c *fakeConn) TrySend([]session.Message) (bool, error) { panic("not in a pool") }

func (c *fakeConn) Close(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.causes = append(c.causes, cause)
}

func (c *fakeConn) want(t *testing.T, messages ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.got, messages) {
		t.Errorf("the client got\n\t%s\nwant\n\t%s", strings.Join(c.got, "\n\t"), strings.Join(messages, "\n\t"))
	}
}

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
		if u.Value == nil {
			value = `null,"deleted":true`
		}
		return fmt.Appendf(nil, `{"%s":%q,"value":%s}`, kind, u.Target.Name, value)
	},
	Missed: func(topic string, n uint64) []byte {
		return fmt.Appendf(nil, `{"topic":%q,"missed":%d}`, topic, n)
	},
}

func targets(all ...keyspace.Target) []keyspace.Target { return all }

var errDone = errors.New("the test is over")

// fixture is a session in a bubble, ended with the test.
type fixture struct {
	*session.Session
	ks   *keyspace.Keyspace
	conn *fakeConn
}

func inBubble(t *testing.T, o session.Options, conn *fakeConn, test func(t *testing.T, f fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ks, err := keyspace.Open(keyspace.Options{Store: keyspace.NewMemory(1)})
		if err != nil {
			t.Fatal(err)
		}
		if conn.gate != nil {
			conn.gate = make(chan struct{}) // of this bubble
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

func (f fixture) set(t *testing.T, key, value string) {
	t.Helper()
	if _, err := f.ks.Set(t.Context(), key, []byte(value)); err != nil {
		t.Fatal(err)
	}
}

func (f fixture) subscribe(t *testing.T, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if err := f.Subscribe(t.Context(), targets(keyspace.Key(key)), session.Start{}, noReply); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUpdatesAndRepliesKeepTheirOrder(t *testing.T) {
	inBubble(t, session.Options{}, new(fakeConn), func(t *testing.T, f fixture) {
		f.subscribe(t, "k")
		if err := f.Subscribe(t.Context(), targets(keyspace.Topic("t")), session.Start{}, noReply); err != nil {
			t.Fatal(err)
		}
		reply := func(m string) {
			synctest.Wait() // what came before is queued
			if err := f.Reply([]byte(m)); err != nil {
				t.Fatal(err)
			}
		}
		reply("r1")
		f.set(t, "k", "1")
		reply("r2")
		if err := f.ks.Publish(t.Context(), "t", []byte("2")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f.set(t, "k", "3")
		if err := f.Unsubscribe(t.Context(), targets(keyspace.Key("k"))); err != nil {
			t.Fatal(err)
		}
		if err := f.Unsubscribe(t.Context(), targets(keyspace.Topic("t"))); err != nil {
			t.Fatal(err)
		}
		reply("r3")
		f.set(t, "k", "4")
		synctest.Wait()
		f.conn.want(t, "r1", `{"key":"k","value":1}`, "r2", `{"topic":"t","value":2}`, `{"key":"k","value":3}`, "r3")
	})
}

func (f fixture) subscribeTopic(t *testing.T, topic string) {
	t.Helper()
	if err := f.Subscribe(t.Context(), targets(keyspace.Topic(topic)), session.Start{}, noReply); err != nil {
		t.Fatal(err)
	}
}

func (f fixture) publish(t *testing.T, topic, value string) {
	t.Helper()
	if err := f.ks.Publish(t.Context(), topic, []byte(value)); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func TestWhatWaitsIsSentTogether(t *testing.T) {
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{}, conn, func(t *testing.T, f fixture) {
		f.subscribeTopic(t, "t")
		for i := range 1000 {
			f.publish(t, "t", fmt.Sprint(i))
		}
		close(conn.gate)
		synctest.Wait()
		if len(conn.got) != 1000 || conn.sends != 2 {
			t.Errorf("%d updates in %d sends, want 1000 in 2: the first, then all that waited", len(conn.got), conn.sends)
		}
	})
}

func TestChunksAreBounded(t *testing.T) {
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{}, conn, func(t *testing.T, f fixture) {
		f.subscribeTopic(t, "t")
		for range 40 {
			f.publish(t, "t", `"`+strings.Repeat("x", 10_000)+`"`)
		}
		close(conn.gate)
		synctest.Wait()
		if len(conn.got) != 40 || conn.sends != 1+10 {
			t.Errorf("%d updates in %d sends, want 40 in 11", len(conn.got), conn.sends)
		}
	})
}

// What is published cannot be conflated, so past a limit it is dropped. Before
// the next message of a topic the client is told how many it has missed.
func TestTooMuchOfATopicIsDroppedAndTold(t *testing.T) {
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{MaxPendingBytes: 1000}, conn, func(t *testing.T, f fixture) {
		var want []string
		told := func(topic, value string) {
			want = append(want, fmt.Sprintf(`{"topic":%q,"value":%s}`, topic, value))
		}
		f.subscribeTopic(t, "t")
		f.subscribeTopic(t, "u")
		f.subscribe(t, "k")
		start := time.Now()
		f.publish(t, "t", "1000") // it is in hand, and stays there
		told("t", "1000")
		for i := 1001; i < 1200; i++ { // 26 bytes each
			f.publish(t, "t", fmt.Sprint(i))
		}
		for i := 1001; i < 1001+1000/26; i++ {
			told("t", fmt.Sprint(i))
		}
		f.publish(t, "u", "1")
		f.publish(t, "u", "2")
		f.set(t, "k", "1") // keys are none of its business
		synctest.Wait()
		want = append(want, `{"key":"k","value":1}`)
		if !time.Now().Equal(start) {
			t.Error("a publisher waited for a client")
		}
		close(conn.gate)
		synctest.Wait()
		conn.want(t, want...)
		f.publish(t, "t", "2000")
		want = append(want, fmt.Sprintf(`{"topic":"t","missed":%d}`, 199-1000/26))
		told("t", "2000")
		f.publish(t, "t", "2001")
		told("t", "2001")
		if err := f.Unsubscribe(t.Context(), targets(keyspace.Topic("u"))); err != nil {
			t.Fatal(err)
		}
		f.subscribeTopic(t, "u") // anew, and it has missed nothing since
		f.publish(t, "u", "3")
		told("u", "3")
		conn.want(t, want...)
		if f.Ending() {
			t.Errorf("ended with %v", f.Cause())
		}
		f.Close(errDone)
		stats, err := f.End(t.Context())
		if err != nil || stats.Dropped != uint64(199-1000/26+2) || stats.Delivered != 1+1000/26+1+3 {
			t.Errorf("stats %+v, %v", stats, err)
		}
	})
}

// A value may be longer than what may wait: it counts only once it waits.
func TestALongValueReachesAClientThatKeepsUp(t *testing.T) {
	conn := new(fakeConn)
	inBubble(t, session.Options{MaxPendingBytes: 1000}, conn, func(t *testing.T, f fixture) {
		f.subscribe(t, "k")
		for range 3 {
			f.set(t, "k", `"`+strings.Repeat("x", 5000)+`"`)
			synctest.Wait()
		}
		if len(conn.got) != 3 || f.Ending() {
			t.Errorf("%d updates, ended %v (%v); want 3 and still open", len(conn.got), f.Ending(), f.Cause())
		}
	})
}

func TestRepliesWaitForRoom(t *testing.T) {
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{MaxPendingBytes: 1000}, conn, func(t *testing.T, f fixture) {
		message := bytes.Repeat([]byte("r"), 100)
		replied := 0
		done := make(chan error)
		go func() {
			for range 50 {
				if err := f.Reply(message); err != nil {
					done <- err
					return
				}
				replied++
			}
			done <- nil
		}()
		synctest.Wait()
		if replied > 2*1000/100 { // what waits, and as much in hand
			t.Errorf("%d replies of 100 bytes wait for a client that reads none, limit 1000 bytes", replied)
		}
		if f.Ending() {
			t.Errorf("ended with %v: a client may ask faster than it reads", f.Cause())
		}
		close(conn.gate)
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if len(conn.got) != 50 {
			t.Errorf("the client got %d replies, want 50", len(conn.got))
		}
	})
}

func TestAWaitingReplyEndsWithTheSession(t *testing.T) {
	for name, end := range map[string]func(*session.Session){
		"Close": func(s *session.Session) { s.Close(errDone) },
		"Abort": func(s *session.Session) { s.Abort(errDone) },
	} {
		t.Run(name, func(t *testing.T) {
			conn := &fakeConn{gate: make(chan struct{})}
			inBubble(t, session.Options{MaxPendingBytes: 100}, conn, func(t *testing.T, f fixture) {
				done := make(chan error)
				go func() {
					for {
						if err := f.Reply(make([]byte, 60)); err != nil {
							done <- err
							return
						}
					}
				}()
				synctest.Wait()
				end(f.Session)
				if err := <-done; !errors.Is(err, errDone) {
					t.Errorf("Reply: %v, want the cause of the end", err)
				}
				close(conn.gate)
			})
		})
	}
}

func TestCloseSendsWhatWaits(t *testing.T) {
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{}, conn, func(t *testing.T, f fixture) {
		f.subscribe(t, "k")
		for i := range 3 {
			f.set(t, "k", fmt.Sprint(i))
		}
		synctest.Wait()
		restart := errors.New("restart")
		f.Close(restart)
		f.Close(errors.New("a later cause does not count"))
		f.set(t, "k", "99")
		synctest.Wait()
		if len(conn.causes) != 0 {
			t.Error("closed before what waited was sent")
		}
		close(conn.gate)
		synctest.Wait()
		conn.want(t, `{"key":"k","value":0}`, `{"key":"k","value":1}`, `{"key":"k","value":2}`)
		conn.wantClosed(t, restart)
	})
}

func TestAbortDropsWhatWaits(t *testing.T) {
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{}, conn, func(t *testing.T, f fixture) {
		f.subscribe(t, "k")
		for i := range 3 {
			f.set(t, "k", fmt.Sprint(i))
			synctest.Wait()
		}
		f.Abort(errDone)
		close(conn.gate)
		synctest.Wait()
		conn.want(t, `{"key":"k","value":0}`) // was in hand
		conn.wantClosed(t, errDone)
	})
	t.Run("idle", func(t *testing.T) {
		inBubble(t, session.Options{}, new(fakeConn), func(t *testing.T, f fixture) {
			f.Abort(errDone)
			synctest.Wait()
			f.conn.wantClosed(t, errDone)
		})
	})
}

func TestAFailedSendEndsTheSession(t *testing.T) {
	broken := errors.New("broken pipe")
	inBubble(t, session.Options{}, &fakeConn{fail: broken}, func(t *testing.T, f fixture) {
		f.subscribe(t, "k")
		f.set(t, "k", "1")
		f.set(t, "k", "2")
		synctest.Wait()
		f.conn.wantClosed(t, broken)
		if !errors.Is(f.Cause(), broken) {
			t.Errorf("cause %v, want that of Send", f.Cause())
		}
	})
}

func TestAPanicEndsOnlyItsSession(t *testing.T) {
	var value any
	var stack string
	o := session.Options{OnPanic: func(v any, s []byte) { value, stack = v, string(s) }}
	inBubble(t, o, &fakeConn{boom: true}, func(t *testing.T, f fixture) {
		other := &fakeConn{}
		s2 := session.New(f.ks, other, session.Options{Encoder: encoder})
		if err := s2.Subscribe(t.Context(), targets(keyspace.Key("k")), session.Start{}, noReply); err != nil {
			t.Fatal(err)
		}
		f.subscribe(t, "k")
		f.set(t, "k", "1")
		f.set(t, "k", "2")
		synctest.Wait()
		f.conn.wantClosed(t, session.ErrInternal)
		other.want(t, `{"key":"k","value":1}`, `{"key":"k","value":2}`)
		if value != "a broken connection" || !strings.Contains(stack, "fakeConn).Send") {
			t.Errorf("OnPanic got %v\n%s", value, stack)
		}
		s2.Close(errDone)
		if _, err := s2.End(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestEndLetsGoOfEverything(t *testing.T) {
	inBubble(t, session.Options{}, new(fakeConn), func(t *testing.T, f fixture) {
		f.subscribe(t, "a", "b", "c")
		if err := f.Subscribe(t.Context(), targets(keyspace.Topic("t")), session.Start{}, noReply); err != nil {
			t.Fatal(err)
		}
		f.set(t, "a", "1")
		synctest.Wait()
		f.Abort(errDone)
		stats, err := f.End(t.Context())
		if err != nil || stats.Delivered != 1 || stats.Dropped != 0 {
			t.Errorf("End: %+v, %v", stats, err)
		}
		f.set(t, "a", "2")
		if err := f.ks.Publish(t.Context(), "t", []byte("3")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if again, _ := f.End(t.Context()); again != stats {
			t.Errorf("delivered or dropped more after the end: %+v", again)
		}
		f.conn.want(t, `{"key":"a","value":1}`)
	})
}

func TestEndGivesUpWithItsContext(t *testing.T) {
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{}, conn, func(t *testing.T, f fixture) {
		if err := f.Reply([]byte("r")); err != nil {
			t.Fatal(err)
		}
		f.Close(errDone)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := f.End(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("End: %v, want its context's error", err)
		}
		close(conn.gate)
	})
}

func TestSubscribingToABadNameFails(t *testing.T) {
	inBubble(t, session.Options{}, new(fakeConn), func(t *testing.T, f fixture) {
		for name, err := range map[string]error{
			"Subscribe":        f.Subscribe(t.Context(), targets(keyspace.Key("#")), session.Start{}, noReply),
			"Unsubscribe":      f.Unsubscribe(t.Context(), targets(keyspace.Key(""))),
			"SubscribeTopic":   f.Subscribe(t.Context(), targets(keyspace.Topic("a//b")), session.Start{}, noReply),
			"UnsubscribeTopic": f.Unsubscribe(t.Context(), targets(keyspace.Topic(".."))),
			"a pattern":        f.Subscribe(t.Context(), targets(keyspace.Pattern("a/#/b")), session.Start{}, noReply),
			"no pattern":       f.Unsubscribe(t.Context(), targets(keyspace.Pattern("a+"))),
			"SetWill":          f.SetWill(session.Will{Target: keyspace.Key(""), Value: []byte("1")}),
		} {
			if !errors.Is(err, keyspace.ErrInvalidName) {
				t.Errorf("%s: %v, want ErrInvalidName", name, err)
			}
		}
	})
}

func noReply(keyspace.Mark) []byte { return nil }

func TestTheMarkStandsBetweenBeforeAndAfter(t *testing.T) {
	inBubble(t, session.Options{}, new(fakeConn), func(t *testing.T, f fixture) {
		mark := func(m keyspace.Mark) []byte { return fmt.Appendf(nil, "mark %d", m.Revision) }
		entry := func(e keyspace.Entry) []byte { return fmt.Appendf(nil, "entry %d %s", e.Version, e.Value) }
		f.set(t, "k", "1")
		for range 2 {
			if err := f.Subscribe(t.Context(), targets(keyspace.Key("k")), session.Start{}, mark); err != nil {
				t.Fatal(err)
			}
			f.set(t, "k", "2")
		}
		for _, key := range []string{"k", "other"} {
			if err := f.Get(t.Context(), key, entry); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.ks.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		if err := f.Get(t.Context(), "k", entry); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f.conn.want(t, "mark 1", `{"key":"k","value":2}`, "mark 2", `{"key":"k","value":2}`, "entry 3 2", "entry 0 ",
			`{"key":"k","value":null,"deleted":true}`, "entry 4 ")
	})
}

func TestDrainSendsWhatWaitsAndClosesNothing(t *testing.T) {
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{}, conn, func(t *testing.T, f fixture) {
		for range 3 {
			if err := f.Reply([]byte("r")); err != nil {
				t.Fatal(err)
			}
		}
		settled := make(chan error)
		go func() { settled <- f.Drain(t.Context()) }()
		synctest.Wait()
		close(conn.gate)
		if err := <-settled; err != nil {
			t.Error(err)
		}
		conn.want(t, "r", "r", "r")
		if len(conn.causes) != 0 {
			t.Error("Close was called")
		}
	})
}

func TestFlushCallsSend(t *testing.T) {
	inBubble(t, session.Options{}, new(fakeConn), func(t *testing.T, f fixture) {
		f.Flush()
		synctest.Wait()
		if f.conn.sends != 1 || len(f.conn.got) != 0 {
			t.Errorf("%d sends of %q, want one of nothing", f.conn.sends, f.conn.got)
		}
	})
}
