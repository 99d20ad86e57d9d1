package client

import (
	"context"
	"fmt"
	"time"
)

// A WriteOption changes a write.
type WriteOption func(*writeOptions)

type writeOptions struct {
	ifVersion *uint64
	ttl       time.Duration
	hasTTL    bool
}

// IfVersion requires that the key has version n; 0 requires that there is no such key.
// Otherwise the write fails with [ErrVersionMismatch].
func IfVersion(n uint64) WriteOption { return func(o *writeOptions) { o.ifVersion = &n } }

// TTL lets the key expire d after the write, unless it is written again.
func TTL(d time.Duration) WriteOption {
	return func(o *writeOptions) { o.ttl, o.hasTTL = d, true }
}

// Set writes a key, and returns the version of the write. encoding/json encodes the value; a
// json.RawMessage is taken as it is. A write without [TTL] ends the time to live that the
// key has.
func Set(ctx context.Context, c *Client, key string, value any, opts ...WriteOption) (version uint64, err error) {
	text, err := encodeValue(value)
	if err != nil {
		return 0, fmt.Errorf("set %q: %w", key, err)
	}
	return c.write(ctx, "set", key, text, opts)
}

// Patch changes a part of a value by a JSON Merge Patch (RFC 7396), or makes the key. The
// key keeps its time to live, unless opts has a [TTL].
func Patch(ctx context.Context, c *Client, key string, patch any, opts ...WriteOption) (version uint64, err error) {
	text, err := encodeValue(patch)
	if err != nil {
		return 0, fmt.Errorf("patch %q: %w", key, err)
	}
	return c.write(ctx, "patch", key, text, opts)
}

// Delete deletes a key. It fails with [ErrNotFound] if there is no such key. The server
// refuses a delete with [TTL].
func Delete(ctx context.Context, c *Client, key string, opts ...WriteOption) (version uint64, err error) {
	return c.write(ctx, "delete", key, nil, opts)
}

// Touch sets the time to live of a key. The value and its version stay, and subscribers are
// not told.
func Touch(ctx context.Context, c *Client, key string, ttl time.Duration, opts ...WriteOption) (version uint64, err error) {
	return c.write(ctx, "touch", key, nil, append(opts[:len(opts):len(opts)], TTL(ttl)))
}

// Publish sends a message to the clients that are subscribed to a topic. Without a
// connection it fails at once with [ErrOffline], because a late message of a topic is of no
// use.
func Publish(ctx context.Context, c *Client, topic string, value any) error {
	text, err := encodeValue(value)
	if err == nil {
		_, err = c.do(ctx, publish, newFields("publish").text("topic", topic).raw("value", text))
	}
	if err != nil {
		return fmt.Errorf("publish to %q: %w", topic, err)
	}
	return nil
}

// Push writes a value to a new key below prefix, such as "chat/lobby", and returns the key.
// The keys of one client rise in the order of its calls, and those of several clients in
// the order of their clocks: the last level is 48 bits of Unix milliseconds and 80 random
// bits, as in a ULID. After [ErrUnknownOutcome] it returns the key, too, and the same value
// may be set to it again with IfVersion(0).
func Push(ctx context.Context, c *Client, prefix string, value any, opts ...WriteOption) (key string, err error) {
	key = c.keys.next(prefix, time.Now())
	_, err = Set(ctx, c, key, value, append(opts[:len(opts):len(opts)], IfVersion(0))...)
	return key, err
}

func (c *Client) write(ctx context.Context, action, key string, value []byte, opts []WriteOption) (version uint64, err error) {
	f, err := withOptions(newFields(action).text("key", key), opts)
	if err == nil && value != nil {
		f = f.raw("value", value)
	}
	var m *message
	if err == nil {
		m, err = c.do(ctx, write, f)
	}
	if err != nil {
		return 0, fmt.Errorf("%s %q: %w", action, key, err)
	}
	return m.Version, nil
}

func withOptions(f fields, opts []WriteOption) (fields, error) {
	var o writeOptions
	for _, set := range opts {
		set(&o)
	}
	if o.ifVersion != nil {
		f = f.number("ifVersion", *o.ifVersion)
	}
	if o.hasTTL {
		if o.ttl <= 0 {
			return nil, fmt.Errorf("rtdb: a time to live must be above 0 but this one is %v", o.ttl)
		}
		f = f.seconds("ttl", o.ttl)
	}
	return f, nil
}
