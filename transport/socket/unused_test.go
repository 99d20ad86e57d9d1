package socket_test

import (
	"context"
	"net"
	"net/http"
	"testing"

	"rtdb/transport/socket"
)

// A fakeConn counts the calls of Close.
type fakeConn struct {
	net.Conn
	closed int
}

func (c *fakeConn) Close() error {
	c.closed++
	return nil
}

// requestOn returns a request that came on a connection.
func requestOn(u *socket.Unused, c net.Conn) *http.Request {
	return new(http.Request).WithContext(u.ConnContext(context.Background(), c))
}

func TestUnusedClosesConnectionsWithoutARequest(t *testing.T) {
	var u socket.Unused
	var unused, used, active, ended, hijacked, late fakeConn
	for _, c := range []*fakeConn{&unused, &used, &active, &ended, &hijacked} {
		u.ConnState(c, http.StateNew)
	}
	u.ConnState(&used, http.StateActive)
	u.Used(requestOn(&u, &used))
	u.ConnState(&used, http.StateIdle)
	u.ConnState(&active, http.StateActive) // half a header has come, and no request yet
	u.ConnState(&ended, http.StateClosed)
	u.ConnState(&hijacked, http.StateHijacked)
	u.Close()
	u.ConnState(&late, http.StateNew) // accepted before the listener was closed
	for name, c := range map[string]struct {
		conn *fakeConn
		want int
	}{
		"without a request":   {&unused, 1},
		"with half a header":  {&active, 1},
		"accepted after that": {&late, 1},
		"with a request":      {&used, 0},
		"ended before":        {&ended, 0},
		"taken over":          {&hijacked, 0},
	} {
		if c.conn.closed != c.want {
			t.Errorf("the connection %s was closed %d times, want %d", name, c.conn.closed, c.want)
		}
	}
}

func TestNetConn(t *testing.T) {
	var u socket.Unused
	var c fakeConn
	if got := socket.NetConn(requestOn(&u, &c)); got != &c {
		t.Errorf("got %v, want the connection of the request", got)
	}
	if got := socket.NetConn(new(http.Request)); got != nil {
		t.Errorf("got %v without ConnContext, want nil", got)
	}
	u.Used(new(http.Request)) // does nothing
}
