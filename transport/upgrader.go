package transport

import (
	"bufio"
	"net"
	"net/http"
)

// An upgrader is the ResponseWriter that the library accepts a WebSocket on.
// It gives it a conn, and keeps the library's own error pages from the client.
type upgrader struct {
	http.ResponseWriter
	conn   *conn // set up by Hijack
	status int   // of the library's refusal
}

func (u *upgrader) WriteHeader(status int) {
	if status == http.StatusSwitchingProtocols {
		u.ResponseWriter.WriteHeader(status)
		return
	}
	u.status = status
}

func (u *upgrader) Write(p []byte) (int, error) { return len(p), nil }

// Hijack takes the connection over from net/http. The library makes the reader
// it gets read from the connection anew, so what net/http had read already
// goes through conn.Read. The buffers are small: a client has its for life.
func (u *upgrader) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	netConn, buffers, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	u.conn.Conn = netConn
	u.conn.fd.init(netConn)
	if n := buffers.Reader.Buffered(); n > 0 {
		early, err := buffers.Reader.Peek(n)
		if err != nil {
			return nil, nil, err
		}
		u.conn.early = append(u.conn.early, early...)
	}
	u.conn.reader = bufio.NewReaderSize(u.conn, readBuffer)
	return u.conn, bufio.NewReadWriter(u.conn.reader, bufio.NewWriterSize(u.conn, maxControlFrame)), nil
}
