package transport_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/transport"
)

func TestAWebSocketAuthenticatesByMessage(t *testing.T) {
	w := newWire(t, transport.Options{Keys: testKeys(t)})
	c := w.dialAs(t, "")
	for _, request := range []string{
		`{"id":1,"action":"get","key":"a"}`, `{"id":1,"action":"set","key":"a","value":1}`, `{"id":1,"action":"delete","key":"a"}`,
		`{"id":1,"action":"patch","key":"a","value":1}`, `{"id":1,"action":"publish","topic":"t","value":1}`,
		`{"id":1,"action":"subscribe","key":"a"}`, `{"id":1,"action":"subscribe","pattern":"#"}`, `{"id":1,"action":"subscribe","topics":["t"]}`,
		`{"id":1,"action":"will","key":"a","value":1}`,
	} {
		c.wantCode(request, "unauthorized")
	}
	c.wantCode(`{"id":1,"action":"auth"}`, "invalid_request")
	c.wantCode(`{"id":1,"action":"auth","token":5}`, "invalid_request")
	c.wantCode(`{"id":1,"action":"auth","token":"x"}`, "unauthorized")
	c.ask(fmt.Sprintf(`{"id":2,"action":"auth","token":%q}`, token(t, `{"read":["a/#"],"write":["a/b"],"listen":["t"]}`, time.Hour)), `{"id":2,"ok":true}`)
	c.ask(`{"id":3,"action":"set","key":"a/b","value":1}`, `{"id":3,"ok":true,"version":1}`)
	c.wantCode(`{"id":4,"action":"set","key":"a/c","value":1}`, "forbidden")
	c.wantCode(`{"id":4,"action":"subscribe","keys":["a/b","b"]}`, "forbidden")
	c.wantCode(`{"id":4,"action":"subscribe","pattern":"#"}`, "forbidden")
	c.wantCode(`{"id":4,"action":"publish","topic":"t","value":1}`, "forbidden")
	c.wantCode(`{"id":4,"action":"will","key":"b","value":1}`, "forbidden")
	c.wantCode(`{"id":5,"action":"subscribe","keys":["a/b","a/c"]}`, "")
	c.wantCode(`{"id":5,"action":"subscribe","pattern":"a/+"}`, "")
	c.wantCode(`{"id":5,"action":"subscribe","topic":"t"}`, "")

	// A narrower token ends the subscriptions that it does not cover. An invalid token
	// changes nothing.
	c.wantCode(`{"id":6,"action":"auth","token":"x"}`, "unauthorized")
	c.ask(fmt.Sprintf(`{"id":7,"action":"auth","token":%q}`, token(t, `{"read":["a/b"]}`, time.Hour)), `{"id":7,"ok":true,"ended":["a/+","a/c","t"]}`)
	for _, key := range []string{"a/c", "a/b"} {
		if _, err := w.keyspace.Set(t.Context(), key, []byte("2")); err != nil {
			t.Fatal(err)
		}
	}
	c.want(`{"key":"a/b","value":2}`)
}

// A client that another project wrote works as it is.
func TestAForeignWebSocketClientWorks(t *testing.T) {
	w := newWire(t, transport.Options{})
	c, _, err := websocket.DefaultDialer.Dial("ws://"+w.addr+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.WriteJSON(map[string]string{"action": "subscribe", "key": "temperature"}); err != nil {
		t.Fatal(err)
	}
	// The subscribe has no id and so no reply: write until the update comes.
	done := make(chan struct{})
	var writer sync.WaitGroup
	defer writer.Wait()
	defer close(done)
	writer.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				w.want(t, "POST", "/data/temperature", `{"value":22}`, 200, `"value":22`)
			}
		}
	})
	_ = c.SetReadDeadline(time.Now().Add(patience))
	kind, message, err := c.ReadMessage()
	if err != nil || kind != websocket.TextMessage || string(message) != `{"key":"temperature","value":22}` {
		t.Fatalf("ReadMessage: %d %s %v", kind, message, err)
	}
}
