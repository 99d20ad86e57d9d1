package socket_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"rtdb/transport/socket"
)

// A request that is not a handshake gets no response from Accept, so that the caller can
// send one.
func TestAcceptReportsRequestsThatAreNotHandshakes(t *testing.T) {
	for name, c := range map[string]struct {
		change map[string]string
		status int
	}{
		"no upgrade":        {map[string]string{"Upgrade": ""}, http.StatusUpgradeRequired},
		"another version":   {map[string]string{"Sec-WebSocket-Version": "12"}, http.StatusBadRequest},
		"a key that is bad": {map[string]string{"Sec-WebSocket-Key": "short"}, http.StatusBadRequest},
	} {
		r := httptest.NewRequest("GET", "/ws", nil)
		for header, value := range map[string]string{
			"Connection": "Upgrade", "Upgrade": "websocket",
			"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
		} {
			r.Header.Set(header, value)
		}
		for header, value := range c.change {
			r.Header.Set(header, value)
		}
		w := httptest.NewRecorder()
		var conn socket.Conn
		err := conn.Accept(w, r, socket.Options{})
		var refused *socket.HandshakeError
		if !errors.As(err, &refused) || refused.Status != c.status {
			t.Errorf("%s: %v, want the status %d", name, err, c.status)
		}
		if w.Body.Len() > 0 || w.Code != http.StatusOK { // 200 is the recorder's default
			t.Errorf("%s: Accept has answered with %d %q", name, w.Code, w.Body)
		}
	}
}
