//go:build !linux

package socket

import (
	"net"
	"time"
)

const canLook = false

// ListenConfig returns the settings of a listener whose connections probe their peers.
func ListenConfig() net.ListenConfig { return net.ListenConfig{KeepAliveConfig: keepAlive} }

func isProbed(*net.TCPConn) bool { return false }

type look struct{}

func (*look) silence(*net.TCPConn) (silence time.Duration, ok bool) { return 0, false }

func (*look) end(*net.TCPConn) {}
