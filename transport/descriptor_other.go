//go:build !unix

package transport

import (
	"errors"
	"net"
)

// descriptorOf finds none: here a connection's session may wait.
func descriptorOf(*net.TCPConn) (fd int, ok bool) { return 0, false }

func writeOnce(int, []byte) (int, error) { return 0, errors.ErrUnsupported }

func readOnce(int, []byte) int { return 0 }
