package jetstream

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// checkStreamName refuses the name of a stream that cannot be a part of subjects.
func checkStreamName(name string) error {
	if name == "" || checkPlain(name) != nil {
		return fmt.Errorf("jetstream: the stream's name %q has a character other than letters, digits, - and _", name)
	}
	return nil
}

// connectOptions returns the options of the connection.
func (s *Store) connectOptions() ([]nats.Option, error) {
	o := &s.options
	options := []nats.Option{
		nats.Name("rtdb " + o.Node),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(maxReconnect),
		nats.ReconnectJitter(maxReconnect, maxReconnect),
		nats.ReconnectBufSize(-1), // a message that cannot be sent now is refused, and sent again later
		nats.RetryOnFailedConnect(true),
		nats.IgnoreAuthErrorAbort(), // while the node runs, an operator may correct the server's users
		nats.Timeout(2 * time.Second),
		nats.FlusherTimeout(writeTimeout),
		nats.ReconnectOnFlusherError(),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		nats.NoEcho(), // the node does not need its own messages
		nats.ConnectHandler(func(c *nats.Conn) { s.connected(c) }),
		nats.ReconnectHandler(func(c *nats.Conn) {
			s.counts.reconnects.Add(1)
			s.bus.loseMessages()
			s.tellLoss()
			s.suspect.Store(true)
			s.connected(c)
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { s.disconnected(err) }),
		nats.ClosedHandler(func(c *nats.Conn) { s.connectionClosed(c.LastError()) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { s.dialError.Store(&err) }),
		nats.ErrorHandler(func(_ *nats.Conn, of *nats.Subscription, err error) { s.connectionError(of, err) }),
	}
	if user := userOf(o.URL); user != nil { // servers that the client learns of need it, too
		if password, ok := user.Password(); ok {
			options = append(options, nats.UserInfo(user.Username(), password))
		} else {
			options = append(options, nats.Token(user.Username()))
		}
	}
	switch {
	case o.Credentials != "":
		options = append(options, nats.UserCredentials(o.Credentials))
	case o.Seed != "":
		seed, err := nats.NkeyOptionFromSeed(o.Seed)
		if err != nil {
			return nil, fmt.Errorf("jetstream: cannot read the NKey seed: %w", err)
		}
		options = append(options, seed)
	}
	if o.CA != "" {
		options = append(options, nats.RootCAs(o.CA))
	}
	if o.Certificate != "" || o.Key != "" {
		options = append(options, nats.ClientCert(o.Certificate, o.Key))
	}
	return options, nil
}

// connectError returns the error of Open. The error of a URL has the URL, and so a password.
func connectError(err error) error {
	var bad *url.Error
	if errors.As(err, &bad) {
		return errors.New("jetstream: a URL of NATS is not valid (it is not shown, because it may have a password): expected nats://user:password@host:4222, with special characters of the password written as %XX")
	}
	return fmt.Errorf("jetstream: cannot connect to NATS: %w", err)
}

func (s *Store) connected(c *nats.Conn) {
	server, version := c.ConnectedServerName(), c.ConnectedServerVersion()
	s.observe(func(o *Observer) {
		if o.Connected != nil {
			o.Connected(server, version)
		}
	})
}

func (s *Store) disconnected(err error) {
	if s.lifetime.Err() != nil {
		return
	}
	if err == nil {
		err = errors.New("the server has closed the connection")
	}
	s.observe(func(o *Observer) {
		if o.Disconnected != nil {
			o.Disconnected(err)
		}
	})
}

// connectionClosed ends the store if the client library has given the connection up for ever. It
// does so after errors of the protocol that it does not know.
func (s *Store) connectionClosed(err error) {
	if s.lifetime.Err() == nil {
		s.fail(fmt.Errorf("jetstream: NATS has ended the connection: %w: restart this node", err))
		s.end(err)
	}
}

// connectionError receives errors that belong to no call. If messages were dropped because
// too many waited, the feed reads its own from the stream, and those of topics are lost. A
// message without the right to send it gets no answer, so a start that lacks a right ends
// here.
func (s *Store) connectionError(of *nats.Subscription, err error) {
	switch {
	case errors.Is(err, nats.ErrSlowConsumer):
		if of != nil && strings.HasPrefix(of.Subject, s.subjects.topics) {
			s.bus.loseMessages()
		}
		return
	case errors.Is(err, nats.ErrPermissionViolation) && !s.loaded.Load():
		s.end(err)
	case errors.Is(err, nats.ErrPermissionViolation):
		s.observe(func(o *Observer) {
			if o.Denied != nil {
				o.Denied(err)
			}
		})
	}
	s.heart.note(err)
}

// notConnected returns why there is no connection.
func (s *Store) notConnected() error {
	err := s.conn.LastError()
	if dial := s.dialError.Load(); err == nil && dial != nil {
		err = *dial
	}
	if err == nil {
		return errNotConnected
	}
	return fmt.Errorf("%w: %w", errNotConnected, err)
}

var errNotConnected = errors.New("not connected to NATS")

// userOf returns the first user of a list of URLs, or nil.
func userOf(urls string) *url.Userinfo {
	for text := range strings.SplitSeq(urls, ",") {
		if u, err := url.Parse(strings.TrimSpace(text)); err == nil && u.User != nil {
			return u.User
		}
	}
	return nil
}

// isRefusal reports whether the servers do not accept the credentials.
func isRefusal(err error) bool {
	for _, refusal := range []error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired, nats.ErrPermissionViolation,
	} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// A VersionError means that the NATS server is too old.
type VersionError struct{ Version string }

func (e *VersionError) Error() string {
	return fmt.Sprintf("jetstream: the NATS server has the version %q, want %d.%d or later: upgrade it", e.Version, minServer[0], minServer[1])
}
