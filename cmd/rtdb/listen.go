package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
)

// addressFlags are the address of the server, which its health check uses, too.
type addressFlags struct {
	Host string `default:"localhost" env:"HOST" help:"Name or IP address that the server listens on."`
	Port int    `default:"8080" env:"PORT" help:"TCP port that the server listens on. 0 picks a free port."`
}

func (f *addressFlags) check() error {
	switch {
	case f.Port < 0 || f.Port > 65535:
		return fmt.Errorf("--port ($PORT): expected 0 to 65535 but got %d", f.Port)
	case strings.TrimSpace(f.Host) == "":
		return fmt.Errorf("--host ($HOST): expected a name or an address but got %q", f.Host)
	}
	return nil
}

// listen opens the listeners of a host and a port. For "localhost" it opens both
// loopback addresses with the same port, because a client may try either of them.
func listen(host string, port int) ([]net.Listener, error) {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]") // as in a URL
	if !strings.EqualFold(host, "localhost") {
		l, err := listenOne(host, port)
		if err != nil {
			return nil, err
		}
		return []net.Listener{l}, nil
	}
	const attempts = 20 // to find a port that is free on both addresses
	for attempt := 1; ; attempt++ {
		listeners, err := listenLoopback(port)
		if err == nil || port != 0 || attempt == attempts || !errors.Is(err, syscall.EADDRINUSE) {
			return listeners, err
		}
	}
}

// checkAdminAddr returns an error if addr is not of the form host:port.
func checkAdminAddr(addr string) error {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return fmt.Errorf("--admin-addr ($ADMIN_ADDR): expected an address like localhost:9090 but got %q", addr)
	}
	return nil
}

// listenAdmin opens the listeners of the admin address, host:port.
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

// listenLoopback listens on the loopback addresses that this machine has.
func listenLoopback(port int) (listeners []net.Listener, err error) {
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
		var number syscall.Errno // its text does not repeat the address
		if errors.As(err, &number) {
			reason = number
		}
		return nil, fmt.Errorf("cannot listen on %s: %w", addr, reason)
	}
	return l, nil
}
