package transport

import (
	"context"
	"slices"
	"sync"

	"rtdb/keyspace"
	"rtdb/session"
	"rtdb/transport/auth"
	"rtdb/transport/rawjson"
)

// An action handles one kind of WebSocket request.
type action struct {
	// check returns the first fault in the members that the action uses.
	check func(*request) error

	// honours are the members of meaningMembers that the action can honour.
	honours members

	// act carries out the request. It returns the reply, which is empty if no reply is
	// due or it was queued already.
	act func(c *webSocket, ctx context.Context, r *request) (rawjson.Builder, error)

	// writes says that it writes a key, and so may be a part of a burst.
	writes bool

	// quick says that it takes little time, and calls Detach if it has to wait. Before other actions
	// Detach is called.
	quick bool
}

// actions are the actions by name. A new action is a new line, with its members in
// request.go if they are new.
var actions = map[string]*action{
	"subscribe":   {check: checkSubscribe, honours: snapshotMember | sinceMember | lastMember, act: (*webSocket).subscribe},
	"unsubscribe": {check: checkTargets, act: (*webSocket).unsubscribe},
	"set":         setAction,
	"get":         {check: checkKey, act: (*webSocket).get},
	"delete":      {check: checkDelete, honours: ifVersionMember | deleteMember, act: (*webSocket).delete, writes: true, quick: true},
	"patch":       {check: checkWrite, honours: ifVersionMember | ttlMember, act: (*webSocket).patch, writes: true},
	"touch":       {check: checkTouch, honours: ifVersionMember | ttlMember, act: (*webSocket).touch, writes: true, quick: true},
	"publish":     {check: checkPublish, act: (*webSocket).publish, quick: true},
	"will":        {check: checkWill, honours: ifVersionMember | ttlMember | deleteMember, act: (*webSocket).will},
	"hello":       {check: checkClient, act: (*webSocket).hello},
	"auth":        {check: checkToken, act: (*webSocket).authenticate},
	"ping":        {check: checkNothing, act: (*webSocket).pong, quick: true},
}

// setAction is also a publish with a key.
var setAction = &action{check: checkWrite, honours: ifVersionMember | ttlMember, act: (*webSocket).set, writes: true, quick: true}

// requests are pooled, because a request has about a kilobyte.
var requests = sync.Pool{New: func() any {
	r := new(pooledRequest)
	r.idRoom, r.replyRoom = r.id[:0], r.reply[:0]
	return r
}}

// A pooledRequest is a request with room for a short id and a short reply.
type pooledRequest struct {
	request
	id    [24]byte
	reply [session.ShortReply]byte
}

// handle carries out a request, and replies if a reply is due.
func (c *webSocket) handle(ctx context.Context, message []byte) {
	pooled := requests.Get().(*pooledRequest)
	r := &pooled.request
	a, err := parseAction(r, message, c.core.options.MaxValueBytes)
	if ok, tooLong := c.throttle.Take(); !ok {
		err, c.tooFast = tooManyRequests(c.core.options.MaxRequestRate), tooLong
	}
	var reply rawjson.Builder
	if err == nil {
		reply, err = c.act(ctx, a, r)
	}
	c.logRequest(r, err)
	if err != nil {
		c.endBurst()
		c.reply(encodeRefusal(r, err)) // a key's actor may still use r, so it does not go back to the pool
		return
	}
	if len(reply) > 0 {
		c.reply(reply.End())
	}
	*r = request{idRoom: r.idRoom, replyRoom: r.replyRoom}
	requests.Put(pooled)
}

// parseAction reads a message into an empty request. It returns the action that the
// request asks for, whose check the request has passed.
func parseAction(r *request, message []byte, maxValueBytes int) (*action, error) {
	if err := r.parseMessage(message, maxValueBytes); err != nil {
		return nil, err
	}
	a, ok := actions[r.action.value]
	if !ok {
		return nil, refuse(codeInvalidRequest, "unknown action %s", quoted(r.action.value))
	}
	if r.action.value == "publish" && r.key.present {
		a = setAction
	}
	if cannot := r.given & meaningMembers &^ a.honours; cannot != 0 {
		return nil, refuse(codeInvalidRequest, "%s cannot honour %s", r.action.value, cannot)
	}
	return a, a.check(r)
}

func (c *webSocket) act(ctx context.Context, a *action, r *request) (rawjson.Builder, error) {
	if !a.writes {
		c.endBurst()
	}
	if !a.quick {
		c.conn.Detach()
	}
	return a.act(c, ctx, r)
}

// subscribe subscribes to targets. The actor of the last one queues the reply: it is
// the mark between the snapshot and live updates.
func (c *webSocket) subscribe(ctx context.Context, r *request) (rawjson.Builder, error) {
	targets, start := r.targets(), r.start()
	if err := c.authorize((*auth.Grants).MaySubscribe, targets...); err != nil {
		return nil, err
	}
	return nil, c.session.Subscribe(ctx, targets, start, func(m keyspace.Mark) []byte {
		reply := encodeReply(r)
		if !r.id.present {
			if !start.Snapshot && !start.Resume {
				return nil
			}
			reply = reply.True("synced")
		}
		return withMark(reply, m).End()
	})
}

func (c *webSocket) unsubscribe(ctx context.Context, r *request) (rawjson.Builder, error) {
	return encodeReply(r), c.session.Unsubscribe(ctx, r.targets())
}

func (c *webSocket) set(ctx context.Context, r *request) (rawjson.Builder, error) {
	return c.write(ctx, r, keyspace.Change{Value: r.value.value, TTL: r.ttl.value})
}

func (c *webSocket) patch(ctx context.Context, r *request) (rawjson.Builder, error) {
	merge := mergePatch(r.value.value, c.core.options.MaxValueBytes)
	return c.write(ctx, r, keyspace.Change{Merge: merge, TTL: r.ttl.value})
}

func (c *webSocket) delete(ctx context.Context, r *request) (rawjson.Builder, error) {
	return c.write(ctx, r, keyspace.Change{Delete: true})
}

func (c *webSocket) touch(ctx context.Context, r *request) (rawjson.Builder, error) {
	return c.write(ctx, r, keyspace.Change{Touch: true, TTL: r.ttl.value})
}

func (c *webSocket) write(ctx context.Context, r *request, change keyspace.Change) (rawjson.Builder, error) {
	key := r.key.value
	if err := c.authorize((*auth.Grants).MayChange, keyspace.Key(key)); err != nil {
		return nil, err
	}
	if c.conn.Leads() {
		change.Waiter = &c.conn
	}
	if c.inBurst || c.conn.More() {
		c.inBurst, change.Burst = true, &c.burst
		c.burst.Begin()
	}
	e, err := c.core.metrics.write(ctx, key, r.withCondition(change))
	if err != nil || !r.id.present {
		return nil, err
	}
	return encodeReply(r).Uint("version", e.Version), nil
}

// get reads a key. The reply is queued in its place among the updates of the key.
func (c *webSocket) get(ctx context.Context, r *request) (rawjson.Builder, error) {
	key := r.key.value
	if err := c.authorize((*auth.Grants).MaySubscribe, keyspace.Key(key)); err != nil {
		return nil, err
	}
	return nil, c.session.Get(ctx, key, func(e keyspace.Entry) []byte {
		if e.Value == nil {
			return encodeRefusal(r, keyspace.ErrNotFound)
		}
		return withEntry(encodeReply(r), e).End()
	})
}

func (c *webSocket) publish(ctx context.Context, r *request) (rawjson.Builder, error) {
	topic := r.topic.value
	if err := c.authorize((*auth.Grants).MayChange, keyspace.Topic(topic)); err != nil {
		return nil, err
	}
	return encodeReply(r), c.core.keyspace.PublishFor(ctx, topic, r.value.value, &c.conn)
}

// will keeps a write for the end of the session. If it has neither a value nor deletes, it
// withdraws the earlier will of the same target.
func (c *webSocket) will(ctx context.Context, r *request) (rawjson.Builder, error) {
	change := keyspace.Change{Value: r.value.value, Delete: r.delete.value, TTL: r.ttl.value} // Delete counts before Value
	w := session.Will{Target: r.target(), Change: r.withCondition(change)}
	if version := r.ifVersion.value; r.ifVersion.present {
		w.IfVersion = &version // of its own: the session keeps the will, and r is used again
	}
	if err := c.authorize((*auth.Grants).MayChange, w.Target); err != nil {
		return nil, err
	}
	return encodeReply(r), c.session.SetWill(ctx, w)
}

// hello names the client. The older session of the same client, on this node or another, has
// ended, and its wills are written, before the reply.
func (c *webSocket) hello(ctx context.Context, r *request) (rawjson.Builder, error) {
	var p *auth.Principal
	if c.credentials != nil {
		if p = c.credentials.principal(); p == nil {
			return nil, errNoToken
		}
	}
	name := nameOf(r.client.value, p, c.core.access.anonymous)
	since, err := c.core.clients.replace(ctx, &c.client, name)
	if err == nil {
		err = c.core.takeOver(ctx, &c.client, name, since)
	}
	if err == nil { // only now: until then the wills of that name are those of the older session
		err = c.session.Name(ctx, keyspace.WillOwner{Client: name.client, Subject: name.holder})
	}
	if err != nil {
		return nil, err
	}
	reply := encodeReply(r)
	if reply != nil {
		reply = reply.String("session", c.id.String()).String("epoch", c.core.keyspace.Epoch())
	}
	return reply, nil
}

// authenticate takes a token. It ends the subscriptions that the token does not
// cover.
func (c *webSocket) authenticate(ctx context.Context, r *request) (rawjson.Builder, error) {
	if c.credentials == nil { // every client may do everything
		return encodeReply(r), nil
	}
	p, err := c.core.access.verify(r.token.value)
	if err != nil {
		return nil, err
	}
	if name := c.name.Load(); name != nil && *name != nameOf(name.client, p, c.core.access.anonymous) {
		if err := c.session.Name(ctx, keyspace.WillOwner{}); err != nil {
			return nil, err
		}
		c.core.clients.unname(&c.client) // another subject must say hello again
	}
	c.credentials.renew(p)
	lost := slices.DeleteFunc(c.session.Targets(), p.MaySubscribe)
	if err := c.session.Unsubscribe(ctx, lost); err != nil {
		c.session.Close(err) // else it could receive updates that its new token does not grant
		return nil, err
	}
	reply := encodeReply(r)
	if reply != nil && len(lost) > 0 {
		names := make([]string, len(lost))
		for i, t := range lost {
			names[i] = t.Name
		}
		slices.Sort(names)
		reply = reply.Strings("ended", names)
	}
	return reply, nil
}

// pong answers a ping. To a client that speaks rtdb.v1 it says up to which revision the
// client has every update of its subscriptions once it has read the pong: all updates up
// to the revision of this moment were queued before.
func (c *webSocket) pong(_ context.Context, r *request) (rawjson.Builder, error) {
	reply := encodeReply(r).String("action", "pong")
	if c.versioned {
		reply = withMark(reply, keyspace.Mark{Revision: c.core.keyspace.Revision(), Epoch: c.core.keyspace.Epoch()})
	}
	return reply, nil
}

// logRequest writes the log line of a request, at debug.
func (c *webSocket) logRequest(r *request, err error) {
	e := c.core.options.Logger.Debug()
	if e == nil {
		return
	}
	c.conn.Detach() // what writes the log may wait
	e = e.Stringer("session", c.id).Str("action", shortened(r.action.value))
	if r.key.present && keyspace.CheckName(r.key.value) == nil {
		e = e.Str("key", r.key.value)
	}
	if r.topic.present && keyspace.CheckName(r.topic.value) == nil {
		e = e.Str("topic", r.topic.value)
	}
	if err != nil {
		e = e.Str("code", explain(err).code).Err(err)
	}
	e.Msg("session request")
}
