//go:build !unix

package transport

import (
	"errors"
	"net"
	"syscall"
)

// rawConn returns nil: here a connection's session may wait.
func rawConn(net.Conn) syscall.RawConn { return nil }

type writeOnce struct{}

func (*writeOnce) init(*frames) {}

func (*frames) tryWrite(syscall.RawConn) (int, error) { return 0, errors.ErrUnsupported }

type readOnce struct{}

func (*readOnce) init(*ahead) {}

func (*ahead) tryRead(syscall.RawConn) int { return 0 }
