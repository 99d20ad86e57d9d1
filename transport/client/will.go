package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// A Will is a write or a message that the server makes when the connection ends, unless the
// client is closed by [Client.Close].
type Will struct {
	Key    string // or Topic
	Topic  string
	Value  any
	Delete bool          // delete the key in place of writing Value
	Opts   []WriteOption // of a key: [IfVersion], checked when the will is carried out, and [TTL]
}

// A target is the key or the topic of a will. There is one will for each.
type target struct {
	topics bool
	name   string
}

// Will leaves a will with the server. There is one for each key and topic; a new one
// replaces it. The server carries it out when the connection is lost, and the client leaves
// it again with each new connection. The caller then writes again the key that the will has
// changed (see [OnState]). withdraw takes the will back, unless a newer one has replaced it.
func (c *Client) Will(ctx context.Context, w Will) (withdraw func(context.Context) error, err error) {
	to := target{name: w.Key}
	member := "key"
	if w.Topic != "" {
		to, member = target{true, w.Topic}, "topic"
	}
	fail := func(err error) error { return fmt.Errorf("will for the %s %q: %w", member, to.name, err) }
	switch {
	case w.Key != "" && w.Topic != "":
		return nil, fail(errors.New("rtdb: a will has a key or a topic but this one has both"))
	case w.Topic != "" && (w.Delete || len(w.Opts) > 0):
		return nil, fail(errors.New("rtdb: the will of a topic has only a value"))
	}
	bare := newFields("will").text(member, to.name)
	f, err := withOptions(bare[:len(bare):len(bare)], w.Opts)
	if err == nil && w.Delete {
		f = f.raw("delete", []byte("true"))
	} else if err == nil {
		var text []byte
		if text, err = encodeValue(w.Value); err == nil {
			f = f.raw("value", text)
		}
	}
	if err != nil {
		return nil, fail(err)
	}
	if err := c.setWill(ctx, to, f, true); err != nil {
		return nil, fail(err)
	}
	return func(ctx context.Context) error {
		if c.hasOtherWill(to, f) {
			return nil
		}
		if err := c.setWill(ctx, to, bare, false); err != nil {
			return fail(err)
		}
		return nil
	}, nil
}

// setWill sends a will, or withdraws one. It is sent again if the reply does not come,
// because the server keeps only one will for a target.
func (c *Client) setWill(ctx context.Context, to target, f fields, keep bool) error {
	c.mu.Lock()
	before, had := c.wills[to]
	if keep {
		c.wills[to] = f
	} else {
		delete(c.wills, to)
	}
	c.mu.Unlock()
	_, err := c.do(ctx, read, f)
	if err == nil || !keep || c.hasOtherWill(to, f) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if had {
		c.wills[to] = before
	} else {
		delete(c.wills, to)
	}
	return err
}

// hasOtherWill reports whether another will has taken the place of f.
func (c *Client) hasOtherWill(to target, f fields) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	other, ok := c.wills[to]
	return ok && !bytes.Equal(other, f)
}

// keepWill leaves a will with a new connection.
func (c *Client) keepWill(f fields) {
	_ = c.out.add(&request{fields: f, kind: control, done: func(m *message, err error) { // a lost connection has no wills
		if err == nil && m.Error != nil {
			c.options.logger.Error("rtdb: the server refused a will that it had taken before", "error", m.Error)
		}
	}})
}
