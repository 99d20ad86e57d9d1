package transport

import (
	"context"

	"rtdb/keyspace"
)

// A core is what the endpoints share. Each of them (rest, events, webSockets,
// operator) embeds it and adds what it alone needs.
type core struct {
	options  Options // settled
	keyspace *keyspace.Keyspace
	access   access
	clients  *registry
	metrics  *metrics
	lifetime context.Context // ends when what is left at a shutdown is cut off
}

// maxMessage is how long a message or body may be.
func (c *core) maxMessage() int { return c.options.MaxValueBytes + messageOverhead }

// authorize refuses a request whose principal is not granted what it asks for.
func (c *core) authorize(w *response, granted bool) error {
	err := c.access.authorize(w.principal, granted)
	if err == errNoToken {
		w.challenge(err)
	}
	return err
}
