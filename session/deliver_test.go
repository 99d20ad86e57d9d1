package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/actor"
	"rtdb/keyspace"
	"rtdb/session"
)

func TestUpdatesAndRepliesKeepTheirOrder(t *testing.T) {
	inBubble(t, session.Options{}, new(fakeConn), func(t *testing.T, f fixture) {
		f.subscribe(t, "k")
		if err := f.Subscribe(t.Context(), targets(keyspace.Topic("t")), session.Start{}, noReply); err != nil {
			t.Fatal(err)
		}
		reply := func(m string) {
			synctest.Wait() // earlier updates are queued
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

// The updates of a burst come in the order of its writes, behind the replies that were queued
// before its end. An update that comes too late is dropped.
func TestABurst(t *testing.T) {
	inBubble(t, session.Options{}, new(fakeConn), func(t *testing.T, f fixture) {
		f.subscribe(t, "a", "b")
		var b keyspace.Burst
		write := func(key, value string) {
			b.Begin()
			if _, err := f.ks.Write(t.Context(), key, keyspace.Change{Value: []byte(value), Burst: &b}); err != nil {
				t.Fatal(err)
			}
		}
		write("a", "1")
		write("b", "2")
		if err := f.Reply([]byte("r")); err != nil {
			t.Fatal(err)
		}
		write("a", "3")
		b.End()
		synctest.Wait()
		f.conn.want(t, "r", `{"key":"a","value":1}`, `{"key":"b","value":2}`, `{"key":"a","value":3}`)

		write("a", "4")
		write("b", "5")
		f.Close(errDone)
		b.End()
		if stats, err := f.End(t.Context()); err != nil || stats.Delivered != 3 || stats.Dropped != 2 {
			t.Errorf("End: %+v, %v; want 3 updates delivered and 2 dropped", stats, err)
		}
	})
}

func TestMessagesThatWaitAreSentTogether(t *testing.T) {
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

func TestTheLengthOfASendIsBounded(t *testing.T) {
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

func TestRepliesWaitForSpace(t *testing.T) {
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
		if replied > 2*1000/100 { // as much may wait as is being sent
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

func TestAReplyThatWaitsEndsWithTheSession(t *testing.T) {
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

// Updates are not conflated across a reply. So replies wait for a client that asks and reads
// nothing, and memory stays bounded.
func TestRepliesBoundTheUpdatesThatWait(t *testing.T) {
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{}, conn, func(t *testing.T, f fixture) {
		f.subscribe(t, "a")
		value := `"` + fmt.Sprintf("%060000d", 0) + `"`
		answered := 0
		done := make(chan error)
		go func() {
			for range 300 {
				if _, err := f.ks.Set(context.Background(), "a", []byte(value)); err != nil {
					done <- err
					return
				}
				if err := f.Reply([]byte("pong")); err != nil {
					done <- err
					return
				}
				answered++
			}
			done <- nil
		}()
		synctest.Wait()
		if most := session.DefaultMaxPendingBytes / 60000; answered > most {
			t.Errorf("%d replies wait, each behind an update of 60 kB, want at most %d", answered, most)
		}
		close(conn.gate)
		if err := <-done; err != nil {
			t.Error(err)
		}
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

func TestFlushCallsSend(t *testing.T) {
	inBubble(t, session.Options{}, new(fakeConn), func(t *testing.T, f fixture) {
		f.Flush()
		synctest.Wait()
		if f.conn.sends != 1 || len(f.conn.got) != 0 {
			t.Errorf("%d sends of %q, want one of nothing", f.conn.sends, f.conn.got)
		}
	})
}

// A notice is sent at once, also while the reader holds back replies because a request takes
// long. It comes after the updates that were delivered before.
func TestANoticeDoesNotWaitForARequest(t *testing.T) {
	conn := new(fakeConn)
	inBubble(t, session.Options{}, conn, func(t *testing.T, f fixture) {
		f.subscribe(t, "k")
		f.Cork()
		if err := f.Reply([]byte("reply")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		conn.want(t)
		f.set(t, "k", "1")
		synctest.Wait()
		f.Tell([]byte("notice"))
		synctest.Wait()
		conn.want(t, "reply", `{"key":"k","value":1}`, "notice")
		f.Cork()
		f.Tell([]byte("another"))
		synctest.Wait()
		conn.want(t, "reply", `{"key":"k","value":1}`, "notice", "another")
		f.Uncork()
	})
}

// A writer that waits for its update before it makes the next write does not wait for the pool's
// rounds, except now and then. Updates that come one after the other are sent together.
func TestUpdatesDoNotWaitForNothing(t *testing.T) {
	conn := new(fakeConn)
	const round = time.Millisecond
	inBubble(t, session.Options{Pool: &actor.Pool{Interval: round}}, conn, func(t *testing.T, f fixture) {
		f.subscribe(t, "k")
		start := time.Now()
		for i := range 3000 {
			f.set(t, "k", "1")
			synctest.Wait()
			for n, _ := conn.taken(); n == i; n, _ = conn.taken() {
				time.Sleep(round / 10)
			}
		}
		if took := time.Since(start); took > 15*round {
			t.Errorf("3000 writes, of which each waits for the update before, take %v", took)
		}
		_, sends := conn.taken()
		for range 10_000 {
			time.Sleep(round / 5)
			f.set(t, "k", "1")
		}
		time.Sleep(round)
		if _, n := conn.taken(); n-sends < 10_000/5 || n-sends > 10_000/5+1200 {
			t.Errorf("10000 updates, of which five come in each round, take %d sends", n-sends)
		}
	})
}

// taken returns the number of messages that the client has, and of the sends that brought them.
func (c *fakeConn) taken() (messages, sends int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.got), c.sends
}

// A wait that has conflated updates, or has joined more than one send takes, was not in vain.
func TestUpdatesOfAClientThatIsBehindWait(t *testing.T) {
	const round = time.Millisecond
	for _, keys := range []int{1, 10} {
		conn := new(fakeConn)
		inBubble(t, session.Options{Pool: &actor.Pool{Interval: round}}, conn, func(t *testing.T, f fixture) {
			for i := range keys {
				f.subscribe(t, fmt.Sprint("k", i))
			}
			value := `"` + strings.Repeat("x", 20_000) + `"`
			for i := range 5000 { // ten in each round
				time.Sleep(round / 10)
				f.set(t, fmt.Sprint("k", i%keys), value)
			}
			time.Sleep(2 * round)
			if messages, sends := conn.taken(); sends > 5*600 || keys == 1 && messages > 600 {
				t.Errorf("%d keys: %d messages in %d sends, want those of 500 rounds", keys, messages, sends)
			}
		})
	}
}
