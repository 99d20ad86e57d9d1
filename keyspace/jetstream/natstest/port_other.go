//go:build !linux

package natstest

import (
	"fmt"
	"net"
)

// A port is a port of 127.0.0.1 that was free.
type port struct{ number int }

// reserve finds a free port. It stays free for others, too: systems other than Linux do not
// let a second socket listen at the port that a first one is bound to.
func reserve() (port, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return port{}, fmt.Errorf("find a free port: %w", err)
	}
	return port{l.Addr().(*net.TCPAddr).Port}, l.Close()
}

func (p port) addr() string { return fmt.Sprintf("127.0.0.1:%d", p.number) }

func (p port) release() {}
