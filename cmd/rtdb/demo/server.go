package demo

import (
	"context"
	"errors"
	"time"

	"rtdb/transport/client"
)

// connectPatience is the longest time that the first connection may take. Then the server
// is taken to be absent.
const connectPatience = 5 * time.Second

// A Server is the server that the package talks to.
type Server struct {
	URL    string // such as http://localhost:8080
	Socket string // path of the Unix socket to connect to, or ""
	Token  string // or ""
}

// dial connects to the server.
func (s Server) dial(ctx context.Context, options ...client.Option) (*client.Client, error) {
	if s.Socket != "" {
		options = append(options, client.WithSocket(s.Socket))
	}
	if s.Token != "" {
		options = append(options, client.WithToken(func(context.Context) (string, error) { return s.Token, nil }))
	}
	return client.Dial(ctx, s.URL, options...)
}

// dialSoon is dial for a server that should be there now.
func (s Server) dialSoon(ctx context.Context, options ...client.Option) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, connectPatience)
	defer cancel()
	return s.dial(ctx, options...)
}

// isPassing reports whether a request that failed may succeed later, without a change by
// somebody.
func isPassing(err error) bool {
	var refused *client.Error
	if errors.As(err, &refused) {
		switch refused.Code {
		case "limit_reached", "rate_limited", "unavailable", "internal":
			return true
		}
		return false
	}
	return !errors.Is(err, client.ErrClosed)
}
