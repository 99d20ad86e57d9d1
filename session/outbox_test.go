package session_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/keyspace"
	"rtdb/session"
)

// Messages of a topic cannot be conflated, so they are dropped if more than the limit waits.
// Before the next message of the topic the client learns how many it has missed.
func TestMessagesPastTheLimitAreDroppedAndCounted(t *testing.T) {
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
		f.publish(t, "t", "1000") // it is being sent, and does not wait
		told("t", "1000")
		for i := 1001; i < 1200; i++ { // each has 26 bytes
			f.publish(t, "t", fmt.Sprint(i))
		}
		for i := 1001; i < 1001+1000/26; i++ {
			told("t", fmt.Sprint(i))
		}
		f.publish(t, "u", "1")
		f.publish(t, "u", "2")
		f.set(t, "k", "1") // the limit is only for topics
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
		f.subscribeTopic(t, "u") // a new subscription has missed nothing
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

// A value may be longer than the limit. It counts only while it waits.
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

// A pattern of topics and a topic that it matches are one stream of messages. What a
// client has missed of a topic is forgotten when nothing delivers the topic any more.
func TestPatternsOfTopics(t *testing.T) {
	conn := new(fakeConn)
	inBubble(t, session.Options{}, conn, func(t *testing.T, f fixture) {
		pattern := targets(keyspace.TopicPattern("room/+"))
		if err := f.Subscribe(t.Context(), pattern, session.Start{}, noReply); err != nil {
			t.Fatal(err)
		}
		f.subscribeTopic(t, "room/1")
		f.publish(t, "room/1", "1")
		f.publish(t, "room/2", "2")
		f.publish(t, "room", "3")
		f.set(t, "room/1", "4") // a key, not a topic
		if err := f.Unsubscribe(t.Context(), pattern); err != nil {
			t.Fatal(err)
		}
		f.publish(t, "room/1", "5")
		f.publish(t, "room/2", "6")
		conn.want(t, `{"topic":"room/1","value":1}`, `{"topic":"room/2","value":2}`, `{"topic":"room/1","value":5}`)
	})
	slow := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{MaxPendingBytes: 100}, slow, func(t *testing.T, f fixture) {
		pattern := targets(keyspace.TopicPattern("#"))
		if err := f.Subscribe(t.Context(), pattern, session.Start{}, noReply); err != nil {
			t.Fatal(err)
		}
		f.subscribeTopic(t, "kept")
		for i := range 10 {
			f.publish(t, "kept", fmt.Sprint(i))
			f.publish(t, "lost", fmt.Sprint(i))
		}
		if err := f.Unsubscribe(t.Context(), pattern); err != nil {
			t.Fatal(err)
		}
		f.subscribeTopic(t, "lost")
		close(slow.gate)
		synctest.Wait()
		f.publish(t, "lost", "10")
		f.publish(t, "kept", "10")
		slow.mu.Lock()
		defer slow.mu.Unlock()
		got := strings.Join(slow.got[len(slow.got)-3:], " ")
		if want := `^{"topic":"lost","value":10} {"topic":"kept","missed":\d} {"topic":"kept","value":10}$`; !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("the client got at last %s, want %s", got, want)
		}
	})
}

// The topics of which messages were dropped are counted within a bound. A client that
// misses messages of more topics ends.
func TestMissedTopicsAreBounded(t *testing.T) {
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{MaxPendingBytes: 100}, conn, func(t *testing.T, f fixture) {
		if err := f.Subscribe(t.Context(), targets(keyspace.TopicPattern("#")), session.Start{}, noReply); err != nil {
			t.Fatal(err)
		}
		topics := 0
		for ; !f.Ending() && topics < 20_000; topics++ {
			f.publish(t, fmt.Sprintf("reply/%d/%s", topics, strings.Repeat("x", 400)), "1")
		}
		if topics < 5000 || topics > 10_000 || !errors.Is(f.Cause(), session.ErrTooManyMissed) {
			t.Errorf("after %d topics the session ends with %v", topics, f.Cause())
		}
		close(conn.gate)
	})
}
