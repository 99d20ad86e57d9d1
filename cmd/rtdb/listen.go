package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"

	"rtdb/transport/socket"
)

// addressFlags are the address of the server, which its health check and bench use, too.
type addressFlags struct {
	Host string `default:"localhost" env:"HOST" help:"Name or IP address that the server listens on, or unix:PATH for a Unix socket."`
	Port int    `default:"8080" env:"PORT" help:"TCP port that the server listens on. 0 picks a free port."`
}

func (f *addressFlags) check() error {
	switch {
	case f.Port < 0 || f.Port > 65535:
		return fmt.Errorf("--port ($PORT): expected 0 to 65535 but got %d", f.Port)
	case strings.TrimSpace(f.Host) == "":
		return fmt.Errorf("--host ($HOST): expected a name or an address but got %q", f.Host)
	}
	if path, ok := socketPath(f.Host); ok {
		if err := checkSocketPath(path); err != nil {
			return fmt.Errorf("--host ($HOST): %w", err)
		}
	}
	return nil
}

// client returns the scheme-less address by which a client on this machine reaches the
// server, and the path of the Unix socket to connect to, or "".
func (f *addressFlags) client() (hostport, socket string) {
	if path, ok := socketPath(f.Host); ok {
		return "localhost", path
	}
	host := unbracket(f.Host)
	switch ip := net.ParseIP(host); {
	case strings.EqualFold(host, "localhost"), ip != nil && ip.IsUnspecified() && ip.To4() != nil:
		host = "127.0.0.1" // a container may have no resolver
	case ip != nil && ip.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, strconv.Itoa(f.Port)), ""
}

// unbracket removes the brackets that an IPv6 address has in a URL.
func unbracket(host string) string {
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// The settings of an address, for the hints of errors.
type addressSettings struct{ host, port string }

var (
	mainSettings  = addressSettings{"--host ($HOST)", "--port ($PORT)"}
	adminSettings = addressSettings{"--admin-addr ($ADMIN_ADDR)", "--admin-addr ($ADMIN_ADDR)"}
)

// listen opens the listeners of a host and a port. For "localhost" it opens both loopback
// addresses with the same port, because a client may try either of them. For unix:PATH it
// opens a Unix socket, and the port does not count.
func listen(host string, port int, set addressSettings) ([]net.Listener, error) {
	if path, ok := socketPath(host); ok {
		l, err := listenUnix(path)
		if err != nil {
			return nil, fmt.Errorf("%s: cannot listen on %s: %w", set.host, host, err)
		}
		return []net.Listener{l}, nil
	}
	host = unbracket(host)
	if !strings.EqualFold(host, "localhost") {
		l, err := listenOne(host, port, set)
		if err != nil {
			return nil, err
		}
		return []net.Listener{l}, nil
	}
	const attempts = 20 // to find a port that is free on both addresses
	for attempt := 1; ; attempt++ {
		listeners, err := listenLoopback(port, set)
		if err == nil || port != 0 || attempt == attempts || !errors.Is(err, syscall.EADDRINUSE) {
			return listeners, err
		}
	}
}

// checkAdminAddr returns an error if addr is not of the form host:port or unix:PATH.
func checkAdminAddr(addr string) error {
	if path, ok := socketPath(addr); ok {
		if err := checkSocketPath(path); err != nil {
			return fmt.Errorf("--admin-addr ($ADMIN_ADDR): %w", err)
		}
		return nil
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return fmt.Errorf("--admin-addr ($ADMIN_ADDR): expected an address like localhost:9090 but got %q", addr)
	}
	return nil
}

// listenAdmin opens the listeners of the admin address, host:port or unix:PATH.
func listenAdmin(addr string) ([]net.Listener, error) {
	if _, ok := socketPath(addr); ok {
		return listen(addr, 0, adminSettings)
	}
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := net.LookupPort("tcp", text)
	if err != nil {
		return nil, fmt.Errorf("--admin-addr ($ADMIN_ADDR): expected a port but got %q", text)
	}
	return listen(host, port, adminSettings)
}

// listenLoopback listens on the loopback addresses that this machine has.
func listenLoopback(port int, set addressSettings) (listeners []net.Listener, err error) {
	var absent error
	for _, host := range []string{"127.0.0.1", "::1"} {
		l, err := listenOne(host, port, set)
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

func listenOne(host string, port int, set addressSettings) (net.Listener, error) {
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	settings := socket.ListenConfig()
	l, err := settings.Listen(context.Background(), "tcp", addr)
	if err == nil {
		return l, nil
	}
	reason := err
	var number syscall.Errno // its text does not repeat the address
	if errors.As(err, &number) {
		reason = number
	}
	var unknown *net.DNSError
	var hint string
	switch {
	case errors.As(err, &unknown):
		return nil, fmt.Errorf("cannot listen on %s: the name %q leads to no address: check its spelling, or set %s to localhost, for this machine alone, or to 0.0.0.0, for all networks",
			addr, host, set.host)
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "another program listens there: end it, or choose another port by " + set.port
	case errors.Is(err, syscall.EACCES) && port < 1024:
		hint = "a port below 1024 needs a privilege: choose a higher one by " + set.port
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = "this machine does not have the address: set " + set.host + " to localhost, for this machine alone, or to 0.0.0.0, for all networks"
	default:
		return nil, fmt.Errorf("cannot listen on %s: %w", addr, reason)
	}
	return nil, fmt.Errorf("cannot listen on %s: %w: %s", addr, reason, hint)
}

// addrText returns the address of a listener as the flags take it.
func addrText(addr net.Addr) string {
	if addr, ok := addr.(*net.UnixAddr); ok {
		return socketScheme + addr.Name
	}
	return addr.String()
}
