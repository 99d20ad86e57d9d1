package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
)

// listen opens what host and port stand for. "localhost" is both loopback
// addresses, for a client that is told "localhost" may try either; they get the
// same port.
func listen(host string, port int) ([]net.Listener, error) {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]") // as in a URL
	if !strings.EqualFold(host, "localhost") {
		l, err := listenOne(host, port)
		if err != nil {
			return nil, err
		}
		return []net.Listener{l}, nil
	}
	const tries = 20 // for a port that is free on both
	for try := 1; ; try++ {
		listeners, err := listenBoth(port)
		if err == nil || port != 0 || try == tries || !errors.Is(err, syscall.EADDRINUSE) {
			return listeners, err
		}
	}
}

// listenAdmin opens an address, host:port, for the operator.
func listenAdmin(addr string) ([]net.Listener, error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := net.LookupPort("tcp", text)
	if err != nil {
		return nil, fmt.Errorf("--admin-addr ($ADMIN_ADDR): expected a port but got %q", text)
	}
	return listen(host, port)
}

// listenBoth listens on the loopback addresses that this machine has.
func listenBoth(port int) (listeners []net.Listener, err error) {
	var absent error
	for _, host := range []string{"127.0.0.1", "::1"} {
		l, err := listenOne(host, port)
		switch {
		case err == nil:
			listeners = append(listeners, l)
			port = l.Addr().(*net.TCPAddr).Port
		case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
			absent = err
		default:
			for _, l := range listeners {
				err = errors.Join(err, l.Close())
			}
			return nil, err
		}
	}
	if len(listeners) == 0 {
		return nil, absent
	}
	return listeners, nil
}

func listenOne(host string, port int) (net.Listener, error) {
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	l, err := net.Listen("tcp", addr)
	if err != nil {
		reason := err
		var number syscall.Errno // says it without the call's name
		if errors.As(err, &number) {
			reason = number
		}
		return nil, fmt.Errorf("cannot listen on %s: %w", addr, reason)
	}
	return l, nil
}
