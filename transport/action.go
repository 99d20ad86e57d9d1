package transport

import (
	"context"

	"rtdb/keyspace"
)

// handle does what a message asks for, and returns the reply, nil where there
// is none or it has been queued.
func (c *client) handle(ctx context.Context, message []byte) []byte {
	r, err := parseRequest(message, c.server.maxValue)
	if err == nil {
		err = r.check()
	}
	var reply object
	if err == nil {
		reply, err = c.act(ctx, &r)
	}
	c.server.logRequest(c, &r, err)
	if err != nil {
		return newRefusal(&r, err)
	}
	if len(reply) == 0 {
		return nil
	}
	return reply.end()
}

func (c *client) act(ctx context.Context, r *request) (object, error) {
	switch r.action.text {
	case "subscribe":
		return c.subscribe(ctx, r)
	case "unsubscribe":
		return c.unsubscribe(ctx, r)
	case "set":
		return c.set(ctx, r)
	case "get":
		return c.get(ctx, r)
	case "delete":
		return c.delete(ctx, r)
	case "publish":
		return c.publish(ctx, r)
	case "ping":
		return newReply(r).text("action", "pong"), nil
	}
	return nil, refuse(codeInvalidRequest, "unknown action %s", quoted(r.action.text))
}

// subscribe's reply is queued by the actor of the name: it is the mark between
// what the client is not told of and what it is.
func (c *client) subscribe(ctx context.Context, r *request) (object, error) {
	mark := func(revision uint64) []byte {
		if !r.id.present {
			return nil
		}
		return newReply(r).number("revision", revision).end()
	}
	switch {
	case r.key.present:
		return nil, c.session.Subscribe(ctx, r.key.text, func(e keyspace.Entry) []byte { return mark(e.Version) })
	case r.topic.present:
		return nil, c.session.SubscribeTopic(ctx, r.topic.text, func() []byte { return mark(0) })
	}
	return nil, refuse(codeInvalidRequest, "subscribe needs a key or a topic")
}

func (c *client) unsubscribe(ctx context.Context, r *request) (object, error) {
	var err error
	switch {
	case r.key.present:
		err = c.session.Unsubscribe(ctx, r.key.text)
	case r.topic.present:
		err = c.session.UnsubscribeTopic(ctx, r.topic.text)
	default:
		err = refuse(codeInvalidRequest, "unsubscribe needs a key or a topic")
	}
	return newReply(r), err
}

func (c *client) set(ctx context.Context, r *request) (object, error) {
	key, err := r.wantKey()
	if err != nil {
		return nil, err
	}
	value, err := r.wantValue()
	if err != nil {
		return nil, err
	}
	version, err := c.server.keyspace.Set(ctx, key, value)
	return newWriteReply(r, version), err
}

// get's reply is queued in its place among the updates of the key.
func (c *client) get(ctx context.Context, r *request) (object, error) {
	key, err := r.wantKey()
	if err != nil {
		return nil, err
	}
	return nil, c.session.Get(ctx, key, func(e keyspace.Entry) []byte {
		if e.Value == nil {
			return newRefusal(r, keyspace.ErrNotFound)
		}
		return newReply(r).entry(e).end()
	})
}

func (c *client) delete(ctx context.Context, r *request) (object, error) {
	key, err := r.wantKey()
	if err != nil {
		return nil, err
	}
	version, err := c.server.keyspace.Delete(ctx, key)
	return newWriteReply(r, version), err
}

// publish is set where it has a key.
func (c *client) publish(ctx context.Context, r *request) (object, error) {
	if r.key.present {
		return c.set(ctx, r)
	}
	if !r.topic.present {
		return nil, refuse(codeInvalidRequest, "publish needs a topic or a key")
	}
	value, err := r.wantValue()
	if err != nil {
		return nil, err
	}
	return newReply(r), c.server.keyspace.Publish(ctx, r.topic.text, value)
}

// newWriteReply is the reply to a write, sent only where there is an id.
func newWriteReply(r *request, version uint64) object {
	if !r.id.present {
		return nil
	}
	return newReply(r).number("version", version)
}
