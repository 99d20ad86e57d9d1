package transport_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/keyspace"
	"rtdb/transport"
)

// A client that has read the answer to its close frame has left normally, also if the server
// begins to shut down at that moment.
func TestAShutdownRightAfterACloseWritesNoWill(t *testing.T) {
	for range 300 {
		w := newWire(t, transport.Options{})
		p := w.dial(t)
		p.ask(`{"action":"will","key":"gone","value":1,"id":1}`, `{"id":1,"ok":true}`)
		_ = p.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(patience))
		p.wantClose(1000)
		if err := w.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.keyspace.Get("gone"); err == nil {
			t.Fatal("the will was written")
		}
	}
}

// The wills of a session are written when it ends, unless the client closes with 1000.
func TestWillsAreWrittenUnlessTheClientClosesNormally(t *testing.T) {
	closeWith := func(code int) func(*wire, *peer) {
		return func(_ *wire, p *peer) {
			text := []byte{}
			if code != 0 {
				text = websocket.FormatCloseMessage(code, "")
			}
			_ = p.WriteControl(websocket.CloseMessage, text, time.Now().Add(patience))
		}
	}
	for name, c := range map[string]struct {
		end   func(*wire, *peer)
		fires bool
	}{
		"closed with 1000":       {closeWith(1000), false},
		"closed with 1001":       {closeWith(1001), true},
		"closed with 4999":       {closeWith(4999), true},
		"closed without a code":  {closeWith(0), true},
		"the connection cut":     {func(_ *wire, p *peer) { _ = p.NetConn().Close() }, true},
		"a binary message":       {func(_ *wire, p *peer) { _ = p.WriteMessage(websocket.BinaryMessage, []byte("x")) }, true},
		"text that is not UTF-8": {func(_ *wire, p *peer) { _ = p.WriteMessage(websocket.TextMessage, []byte("\xff")) }, true},
		"a message that is too big": {func(_ *wire, p *peer) {
			_ = p.WriteMessage(websocket.TextMessage, make([]byte, 2<<20))
		}, true},
		"a protocol error": {func(_ *wire, p *peer) { _, _ = p.NetConn().Write([]byte{0xf1, 0x80, 0, 0, 0, 0}) }, true},
		"a shutdown": {func(w *wire, p *peer) {
			ended := w.startShutdown(p.t.(*testing.T), patience)
			p.t.Cleanup(func() { <-ended }) // before the cleanup of the wire shuts down again
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, transport.Options{})
			var last listener
			if err := last.listen(w, "last"); err != nil {
				t.Fatal(err)
			}
			p := w.dial(t)
			p.ask(`{"action":"will","key":"status","value":"first","id":1}`, `{"id":1,"ok":true}`)
			p.ask(`{"action":"will","key":"status","value":"gone","id":2}`, `{"id":2,"ok":true}`)
			p.ask(`{"action":"will","key":"null","value":null,"id":3}`, `{"id":3,"ok":true}`)
			p.ask(`{"action":"will","key":"withdrawn","value":1,"id":4}`, `{"id":4,"ok":true}`)
			p.ask(`{"action":"will","key":"withdrawn","id":5}`, `{"id":5,"ok":true}`)
			p.ask(`{"action":"will","topic":"last","value":"words","id":6}`, `{"id":6,"ok":true}`)
			p.ask(`{"action":"will","topic":"status","value":"of a topic","id":7}`, `{"id":7,"ok":true}`)
			c.end(w, p)
			var reading sync.WaitGroup
			reading.Go(func() { // reading answers the close frame
				for {
					if _, _, err := p.ReadMessage(); err != nil {
						return
					}
				}
			})
			w.log.await(t, "session closed", 1) // logged after the wills are written
			reading.Wait()
			for key, value := range map[string]string{"status": `"gone"`, "null": "null", "withdrawn": ""} {
				if !c.fires {
					value = ""
				}
				if e, _ := w.keyspace.Get(key); string(e.Value) != value {
					t.Errorf("%s is %s, want %s", key, e.Value, value)
				}
			}
			// Publish returns before subscribers are told. Subscribing again waits for that.
			if err := w.keyspace.Subscribe(t.Context(), keyspace.Topic("last"), &last, keyspace.Start{}); err != nil {
				t.Fatal(err)
			}
			want := 0
			if c.fires {
				want = 1
			}
			if got := last.count(); got != want {
				t.Errorf("the topic's will was published %d times, want %d", got, want)
			}
		})
	}
}

// The wills of sessions that time out are written, too.
func TestWillsOfSessionsThatTimeOutAreWritten(t *testing.T) {
	t.Run("no pong", func(t *testing.T) {
		inBubble(t, func(t *testing.T, p *piped) {
			c := p.dial(t)
			c.SetPingHandler(func(string) error { return nil })
			if err := c.WriteMessage(websocket.TextMessage, []byte(`{"action":"will","key":"status","value":"gone"}`)); err != nil {
				t.Fatal(err)
			}
			if code, _ := closing(c); code != 1008 {
				t.Errorf("close code %d", code)
			}
			_ = c.Close()
			synctest.Wait()
			if e, err := p.keyspace.Get("status"); err != nil || string(e.Value) != `"gone"` {
				t.Errorf("the will: %s, %v", e.Value, err)
			}
		})
	})
	t.Run("too slow", func(t *testing.T) {
		inBubble(t, func(t *testing.T, p *piped) {
			c := p.dial(t)
			if err := c.WriteMessage(websocket.TextMessage, []byte(`{"action":"will","key":"status","value":"gone"}`)); err != nil {
				t.Fatal(err)
			}
			if err := c.WriteMessage(websocket.TextMessage, []byte(`{"action":"ping"}`)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(transport.StallTimeout + 10*time.Second) // the client takes no byte of the reply
			synctest.Wait()
			if e, err := p.keyspace.Get("status"); err != nil || string(e.Value) != `"gone"` {
				t.Errorf("the will: %s, %v", e.Value, err)
			}
			_ = c.Close()
			synctest.Wait()
		})
	})
}

// A listener counts the messages of a topic.
type listener struct{ n atomic.Int64 }

func (in *listener) Deliver(*keyspace.Update) { in.n.Add(1) }

func (in *listener) count() int { return int(in.n.Load()) }

func (in *listener) listen(w *wire, topic string) error {
	return w.keyspace.Subscribe(context.Background(), keyspace.Topic(topic), in, keyspace.Start{})
}
