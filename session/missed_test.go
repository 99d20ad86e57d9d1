package session_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"rtdb/keyspace"
	"rtdb/session"
)

// gap tells the session that messages were lost on the way to the keyspace.
func (f fixture) gap(t keyspace.Target) { f.Deliver(&keyspace.Update{Target: t, Missed: true}) }

// The notice of a gap comes in its place among the messages of its topic, and at once. It is
// merged with one that waits only if nothing came between.
func TestGapsAreTold(t *testing.T) {
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{}, conn, func(t *testing.T, f fixture) {
		pattern := keyspace.TopicPattern("room/+")
		if err := f.Subscribe(t.Context(), targets(pattern, keyspace.Topic("t")), session.Start{}, noReply); err != nil {
			t.Fatal(err)
		}
		f.publish(t, "t", "1") // it is being sent
		f.gap(keyspace.Topic("t"))
		f.gap(pattern)
		f.gap(keyspace.Topic("t"))
		f.gap(pattern)
		f.publish(t, "room/1", "1")
		f.gap(pattern)
		if err := f.Reply([]byte("reply")); err != nil {
			t.Fatal(err)
		}
		f.gap(pattern)
		f.gap(pattern)
		close(conn.gate)
		synctest.Wait()
		f.gap(keyspace.Topic("t"))
		synctest.Wait()
		conn.want(t, `{"topic":"t","value":1}`, `{"topic":"t","missed":true}`, `{"topicPattern":"room/+","missed":true}`,
			`{"topic":"room/1","value":1}`, `{"topicPattern":"room/+","missed":true}`, "reply", `{"topicPattern":"room/+","missed":true}`,
			`{"topic":"t","missed":true}`)
		f.Close(errDone)
		if stats, err := f.End(t.Context()); err != nil || stats.Delivered != 2 || stats.Dropped != 0 || stats.Missed != 0 {
			t.Errorf("stats %+v, %v; want 2 messages", stats, err)
		}
	})
}

// A gap stands for the messages that were dropped before it. The notice itself is never
// dropped, and any number of gaps takes the memory of one.
func TestAGapOfAClientThatIsBehind(t *testing.T) {
	conn := &fakeConn{gate: make(chan struct{})}
	inBubble(t, session.Options{MaxPendingBytes: 100}, conn, func(t *testing.T, f fixture) {
		f.subscribeTopic(t, "t")
		f.subscribe(t, "a", "b")
		f.publish(t, "t", "0") // it is being sent
		for i := range 10 {
			f.publish(t, "t", fmt.Sprint(i)) // each has 23 bytes: four wait
		}
		for i := range 1000 {
			f.gap(keyspace.Topic("t"))
			f.publish(t, "t", "10") // dropped
			if i == 500 {
				for n := range 300 { // from now on updates are conflated
					f.set(t, "a", fmt.Sprint(n))
					synctest.Wait() // a writer is answered before its update is delivered
					f.set(t, "b", fmt.Sprint(n))
					synctest.Wait()
				}
			}
		}
		close(conn.gate)
		synctest.Wait()
		f.publish(t, "t", "11")
		conn.want(t, `{"topic":"t","value":0}`, `{"topic":"t","value":0}`, `{"topic":"t","value":1}`, `{"topic":"t","value":2}`,
			`{"topic":"t","value":3}`, `{"topic":"t","missed":true}`, `{"key":"a","value":299}`, `{"key":"b","value":299}`,
			`{"topic":"t","missed":true}`, `{"topic":"t","missed":1}`, `{"topic":"t","value":11}`)
	})
}
