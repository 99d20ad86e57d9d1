package transport_test

import (
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/gorilla/websocket"

	"rtdb/keyspace"
	"rtdb/transport"
)

// Clients that have left leave no session and no key behind.
func TestClientsLeaveNothingBehind(t *testing.T) {
	w := newWire(t, transport.Options{})
	for round := range 3 {
		var clients sync.WaitGroup
		for c := range 20 {
			clients.Go(func() {
				p := w.dial(t)
				for i := range 100 {
					key := fmt.Sprintf("round%d/c%d/%d", round, c, i)
					p.send(`{"action":"subscribe","key":"` + key + `"}`)
					p.send(`{"action":"set","key":"` + key + `","value":1}`)
					p.send(`{"action":"delete","key":"` + key + `"}`)
					p.send(fmt.Sprintf(`{"action":"subscribe","topic":"round%d/%d"}`, round, i))
					p.send(fmt.Sprintf(`{"action":"get","key":"nothing/%d/%d"}`, c, i))
				}
				p.askAmong(`{"action":"ping"}`, `{"action":"pong"}`)
				switch c % 3 {
				case 0:
					_ = p.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""))
				case 1:
					_ = p.NetConn().(*net.TCPConn).SetLinger(0) // Close sends a reset
				}
				_ = p.Close()
			})
		}
		clients.Wait()
		w.log.await(t, "session closed", (round+1)*20)
	}
	if n := w.Sessions(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	// A key that has a subscriber remembers the version of its delete. A key without
	// subscribers and value is retired and remembers nothing.
	for c := range 20 {
		key := fmt.Sprintf("round1/c%d/%d", c, 5*c)
		if err := w.keyspace.GetInOrder(t.Context(), key, func(e keyspace.Entry) {
			if e.Value != nil || e.Version != 0 {
				t.Errorf("%s is still there: %+v", key, e)
			}
		}); err != nil {
			t.Error(err)
		}
	}
}
