package transport

import (
	"context"
	"sync"

	"rtdb/keyspace"
	"rtdb/session"
)

// handle does what a message asks for, and returns the reply, nil where there
// is none or it has been queued.
func (c *client) handle(ctx context.Context, message []byte) []byte {
	r := requests.Get().(*request)
	err := r.parse(message, c.server.maxValue)
	if err == nil {
		err = r.check()
	}
	if ok, flood := c.throttle.take(); !ok {
		err, c.flood = refuse(codeRateLimited, "too many requests: %v a second are allowed", c.server.options.MaxRequestRate), flood
	}
	var reply object
	if err == nil {
		reply, err = c.act(ctx, r)
	}
	c.server.logRequest(c, r, err)
	if err != nil {
		return newRefusal(r, err) // a key's actor may still answer it, so r is not given back
	}
	*r = request{}
	requests.Put(r)
	if len(reply) == 0 {
		return nil
	}
	return reply.end()
}

func (c *client) act(ctx context.Context, r *request) (object, error) {
	switch r.action.text {
	case "subscribe":
		return aside(func() (object, error) { return c.subscribe(ctx, r) })
	case "unsubscribe":
		return c.unsubscribe(ctx, r)
	case "set":
		return c.set(ctx, r)
	case "get":
		return c.get(ctx, r)
	case "delete":
		return c.delete(ctx, r)
	case "patch":
		return c.patch(ctx, r)
	case "will":
		return c.will(r)
	case "publish":
		return c.publish(ctx, r)
	case "auth":
		return aside(func() (object, error) { return c.authenticate(ctx, r) })
	case "ping":
		return newReply(r).text("action", "pong"), nil
	}
	return nil, refuse(codeInvalidRequest, "unknown action %s", quoted(r.action.text))
}

// aside has do run on a goroutine that is gone when it has. What goes deep would
// make the stack of the reader's twice as large, and that stays so as long as
// the client does: most only subscribe, and wait (BenchmarkIdleConnection: 4 KB
// of a connection's memory).
func aside(do func() (object, error)) (reply object, err error) {
	var done sync.WaitGroup
	done.Go(func() { reply, err = do() })
	done.Wait()
	return reply, err
}

// subscribe's reply is queued by the actor of the name: it is the mark between
// what was and what comes.
func (c *client) subscribe(ctx context.Context, r *request) (object, error) {
	names, err := r.wantNames()
	if err != nil {
		return nil, err
	}
	start, err := r.wantStart()
	if err != nil {
		return nil, err
	}
	if err := c.want(mayHear(&names)); err != nil {
		return nil, err
	}
	return nil, c.session.Subscribe(ctx, names, start, func(m keyspace.Mark) []byte {
		reply := newReply(r)
		if !r.id.present {
			if !start.Snapshot && !start.Resume {
				return nil
			}
			reply = reply.truth("synced")
		}
		return reply.mark(m).end()
	})
}

func (c *client) unsubscribe(ctx context.Context, r *request) (object, error) {
	names, err := r.wantNames()
	if err != nil {
		return nil, err
	}
	return newReply(r), c.session.Unsubscribe(ctx, names)
}

func (c *client) set(ctx context.Context, r *request) (object, error) {
	value, err := r.wantValue()
	return c.change(ctx, r, keyspace.Change{Value: value}, err)
}

func (c *client) patch(ctx context.Context, r *request) (object, error) {
	patch, err := r.wantValue()
	if err != nil {
		return c.change(ctx, r, keyspace.Change{}, err)
	}
	return c.change(ctx, r, keyspace.Change{Merge: mergeInto(patch, c.server.maxValue)}, nil)
}

func (c *client) delete(ctx context.Context, r *request) (object, error) {
	return c.change(ctx, r, keyspace.Change{Delete: true}, nil)
}

// change makes a write. Of several things that are wrong with it the key comes
// first, and then err, which is the value's.
func (c *client) change(ctx context.Context, r *request, change keyspace.Change, err error) (object, error) {
	key, keyErr := r.wantKey()
	if keyErr != nil {
		return nil, keyErr
	}
	if err == nil {
		change, err = r.wantChange(change)
	}
	if err != nil {
		return nil, err
	}
	if err := c.want(mayWrite(key)); err != nil {
		return nil, err
	}
	e, err := c.server.write(ctx, key, change)
	if err != nil || !r.id.present {
		return nil, err
	}
	return newReply(r).number("version", e.Version), nil
}

// get's reply is queued in its place among the updates of the key.
func (c *client) get(ctx context.Context, r *request) (object, error) {
	key, err := r.wantKey()
	if err != nil {
		return nil, err
	}
	if err := c.want(mayRead(key)); err != nil {
		return nil, err
	}
	return nil, c.session.Get(ctx, key, func(e keyspace.Entry) []byte {
		if e.Value == nil {
			return newRefusal(r, keyspace.ErrNotFound)
		}
		return newReply(r).entry(e).end()
	})
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
	if err := c.want(mayPublish(r.topic.text)); err != nil {
		return nil, err
	}
	return newReply(r), c.server.keyspace.Publish(ctx, r.topic.text, value)
}

// will keeps a write for the end of the session; without a value it withdraws
// one.
func (c *client) will(r *request) (object, error) {
	if !r.key.present && !r.topic.present {
		return nil, refuse(codeInvalidRequest, "will needs a key or a topic")
	}
	if r.value.err != nil {
		return nil, r.value.err
	}
	w := session.Will{Key: r.key.text, Topic: r.topic.text, Value: r.value.raw}
	granted := mayWrite(w.Key)
	if w.Topic != "" {
		granted = mayPublish(w.Topic)
	}
	if err := c.want(granted); err != nil {
		return nil, err
	}
	return newReply(r), c.session.SetWill(w)
}
