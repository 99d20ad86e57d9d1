package transport_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"syscall"
)

// A socket is a TCP connection that does not use Go's poller, which would cost CPU in the
// background. A load has a poller of its own.
type socket struct {
	fd    int
	early []byte // bytes that were read and not taken yet; empty once a poller has the socket
}

// dialSocket connects. The socket's methods block until a poller has it.
func dialSocket(address string) (*socket, error) { return dialSmall(address, 0) }

// dialSmall connects with a small receive buffer, unless receiveBuffer is 0, so that the
// kernel keeps few bytes for a client that reads nothing. Its segments are small, too,
// because the kernel keeps at least ten of them.
func dialSmall(address string, receiveBuffer int) (*socket, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	err = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	if receiveBuffer > 0 {
		err = errors.Join(err,
			syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, receiveBuffer),
			syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536))
	}
	wait := syscall.Timeval{Sec: int64(patience.Seconds())}
	err = errors.Join(err, syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &wait))
	if err == nil {
		err = again(func() error {
			return syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
		})
	}
	if err == syscall.EISCONN { // the call that was interrupted has connected
		err = nil
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to %s: %w", address, err), syscall.Close(fd))
	}
	return &socket{fd: fd}, nil
}

// again repeats a call that a signal interrupts. The runtime preempts goroutines by
// signals.
func again(call func() error) error {
	for {
		if err := call(); err != syscall.EINTR {
			return err
		}
	}
}

func (s *socket) close() error { return syscall.Close(s.fd) }

// send writes all of p with one call.
func (s *socket) send(p []byte) error {
	n := 0
	err := again(func() (err error) {
		n, err = syscall.Write(s.fd, p)
		return err
	})
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return err
}

func (s *socket) read(p []byte) (n int, err error) {
	err = again(func() error {
		n, err = syscall.Read(s.fd, p)
		return err
	})
	return n, err
}

// more reads into early.
func (s *socket) more() error {
	p := make([]byte, 4<<10)
	n, err := s.read(p)
	if err == nil && n == 0 {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		s.early = append(s.early, p[:n]...)
	}
	return err
}

// receive takes n bytes.
func (s *socket) receive(n int) ([]byte, error) {
	for len(s.early) < n {
		if err := s.more(); err != nil {
			return nil, err
		}
	}
	p := s.early[:n]
	s.early = s.early[n:]
	return p, nil
}

// receiveFrame takes a frame that is a short message.
func (s *socket) receiveFrame() ([]byte, error) {
	header, err := s.receive(2)
	if err != nil {
		return nil, err
	}
	n := int(header[1])
	if isMessage := header[0] == 0x81 || header[0] == 0x82; !isMessage || n > 126 { // a text or binary
		return nil, fmt.Errorf("not a short message: % x", header)
	}
	if n == 126 {
		if header, err = s.receive(2); err != nil {
			return nil, err
		}
		n = int(binary.BigEndian.Uint16(header))
	}
	return s.receive(n)
}

// shakeHands opens a WebSocket. The key is that of RFC 6455, section 1.3.
func (s *socket) shakeHands(path string) error {
	err := s.send([]byte("GET " + path + " HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n" +
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"))
	if err != nil {
		return err
	}
	_, err = s.receiveHeader(http.StatusSwitchingProtocols)
	return err
}

// receiveHeader takes the header of an answer of HTTP, with the empty line after it. The
// answer must have the status.
func (s *socket) receiveHeader(status int) ([]byte, error) {
	end := []byte("\r\n\r\n")
	for !bytes.Contains(s.early, end) {
		if err := s.more(); err != nil {
			return nil, err
		}
	}
	header, err := s.receive(bytes.Index(s.early, end) + len(end))
	if err == nil && !bytes.HasPrefix(header, fmt.Appendf(nil, "HTTP/1.1 %d ", status)) {
		err = fmt.Errorf("the answer is %s%s", header, s.early)
	}
	return header, err
}

// A poller waits for sockets that have something to read (epoll(7)).
type poller struct {
	fd     int
	events [128]syscall.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	return &poller{fd: fd}, err
}

func (p *poller) close() error { return syscall.Close(p.fd) }

// add adds a socket, which does not block from now on. wait returns its number.
func (p *poller) add(s *socket, number int) error {
	if len(s.early) > 0 {
		return fmt.Errorf("heard too early: %q", s.early)
	}
	if err := syscall.SetNonblock(s.fd, true); err != nil {
		return err
	}
	e := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(number)}
	return syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_ADD, s.fd, &e)
}

// wait returns the sockets that have something to read: Fd is a socket's number. It fails
// if nothing comes for long.
func (p *poller) wait() ([]syscall.EpollEvent, error) {
	n, err := syscall.EpollWait(p.fd, p.events[:], int(patience.Milliseconds()))
	switch {
	case err == syscall.EINTR:
		return nil, nil
	case err == nil && n == 0:
		return nil, errors.New("nothing is heard")
	}
	return p.events[:max(n, 0)], err
}
