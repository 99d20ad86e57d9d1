//go:build !linux

package socket

import (
	"errors"
	"net"
	"syscall"
)

// A descriptor is not used on this system: sessions write by the connection itself,
// and may block.
type descriptor struct{}

func (descriptor) open(net.Conn) {}

func (descriptor) take(syscall.Conn) bool { return false }

func (descriptor) usable() bool { return false }

func (descriptor) close() {}

func (descriptor) tryWrite([]byte) (int, error) { return 0, errors.ErrUnsupported }

func (descriptor) tryRead([]byte) int { return 0 }

func (descriptor) end() error { return nil }

func (descriptor) read([]byte) (int, error) { return 0, errors.ErrUnsupported }
