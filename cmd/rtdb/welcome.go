package main

import (
	"net"
	"strings"
	"time"

	"rtdb/keyspace/journal"
)

// welcome returns two plain lines for a person at a terminal: the address of the server,
// the rights of its clients, and the directory of the state.
func (c *serveCommand) welcome(listeners []net.Listener) string {
	scheme := "http"
	if c.TLSCertFile != "" {
		scheme = "https"
	}
	first := listeners[0].Addr()
	where, reach, end := "", "Everybody on this machine", "Ctrl-C ends it"
	switch addr := first.(type) {
	case *net.UnixAddr:
		where, reach = "at the Unix socket "+addr.Name, "Everybody who may write to the socket's file"
	case *net.TCPAddr:
		host, port, _ := net.SplitHostPort(addr.String()) // it is host:port
		if addr.IP.Equal(net.IPv4(127, 0, 0, 1)) || addr.IP.Equal(net.IPv6loopback) || addr.IP.IsUnspecified() {
			host = "localhost"
		}
		where = "at " + scheme + "://" + net.JoinHostPort(host, port)
		if c.Console || c.public != nil {
			end = "open it in a browser; " + end
		}
		if !addr.IP.IsLoopback() {
			reach = "Everybody who reaches this machine"
		}
	}
	who := reach + " may do everything."
	switch {
	case c.access.keys != nil && c.access.anonymous != nil:
		who = "A token says what its holder may do (rtdb token makes one), and --anonymous-grants what everybody else may do."
	case c.access.keys != nil:
		who = "Only holders of a token may do anything (rtdb token makes one)."
	}
	place := c.storageFlags.describe()
	if c.NATSURL != "" {
		place = c.clusterFlags.describe()
	}
	return strings.Join([]string{
		"rtdb is ready " + where + " (" + end + ").",
		who + " " + place,
	}, "\n") + "\n"
}

// describe names the place of the state, and the writes that a power cut would take.
func (f *storageFlags) describe() string {
	switch fsync := time.Duration(f.Fsync); {
	case f.DataDir == "":
		return "The state is in memory, and is lost when rtdb ends."
	case fsync == journal.Always:
		return "The state is kept in " + f.DataDir + "."
	case fsync == journal.Never:
		return "The state is kept in " + f.DataDir + ". A power cut loses the writes that the system has not written to the disk yet."
	default:
		return "The state is kept in " + f.DataDir + ". A power cut loses the writes of the last " + fsync.String() + "."
	}
}
