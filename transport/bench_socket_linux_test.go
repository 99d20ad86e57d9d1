package transport_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"syscall"
)

// A socket is a TCP connection without Go's poller, which would work for it in
// the background: a load has one of its own.
type socket struct {
	fd    int
	early []byte // what was read and not taken yet, while it is made ready
}

// dialSocket connects. Until it is given to a load its methods block.
func dialSocket(address string) (*socket, error) { return dialSmall(address, 0) }

// dialSmall has the system keep no more than some bytes for a client that
// reads nothing, on either side of the connection, and for that has it send
// small segments: of large ones it keeps ten, at least.
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
	if err == syscall.EISCONN { // by the call that was interrupted
		err = nil
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to %s: %w", address, err), syscall.Close(fd))
	}
	return &socket{fd: fd}, nil
}

// again repeats a call that a signal interrupts: the runtime preempts by them.
func again(call func() error) error {
	for {
		if err := call(); err != syscall.EINTR {
			return err
		}
	}
}

func (s *socket) close() error { return syscall.Close(s.fd) }

// send writes all of p at once.
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

// receiveFrame takes a short text message of a server's.
func (s *socket) receiveFrame() ([]byte, error) {
	header, err := s.receive(2)
	if err != nil {
		return nil, err
	}
	n := int(header[1])
	if header[0] != 0x81 || n > 126 {
		return nil, fmt.Errorf("not a short text message: % x", header)
	}
	if n == 126 {
		if header, err = s.receive(2); err != nil {
			return nil, err
		}
		n = int(binary.BigEndian.Uint16(header))
	}
	return s.receive(n)
}

// shakeHands makes it a WebSocket. The key is that of RFC 6455, section 1.3.
func (s *socket) shakeHands(path string) error {
	err := s.send([]byte("GET " + path + " HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n" +
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"))
	if err != nil {
		return err
	}
	end := []byte("\r\n\r\n")
	for !bytes.Contains(s.early, end) {
		if err := s.more(); err != nil {
			return err
		}
	}
	answer, rest, _ := bytes.Cut(s.early, end)
	if !bytes.HasPrefix(answer, []byte("HTTP/1.1 101 ")) {
		return fmt.Errorf("the handshake is answered with %s", answer)
	}
	s.early = rest
	return nil
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

// add has wait return a number for a socket, which does not block from now on.
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

// wait returns whose turn it is: as Fd there are the numbers. It fails where
// nothing comes for long.
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
