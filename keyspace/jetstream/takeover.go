package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"rtdb/keyspace"
)

// takeoverTimeout bounds the wait for the other nodes. One that does not answer is cut off, slow
// or dead. Its sessions end when it comes back, or reads the request.
const takeoverTimeout = 3 * time.Second

// ErrNewerSession means that another node has a newer session of the client.
var ErrNewerSession = errors.New("jetstream: a newer session of the client exists on another node")

// An EndSession ends the session that this node has of a client, if it is older than a time,
// and returns when it has ended. If the session is newer, it returns true and leaves it.
type EndSession func(ctx context.Context, client, subject string, since time.Time) (newer bool, err error)

// A takeover asks the other nodes to end their session of a client. It goes to all nodes at
// once, over core NATS, and each node answers.
type takeover struct {
	Client  string `json:"client"`
	Subject string `json:"subject"` // of the client's token
	Since   int64  `json:"since"`   // Unix nanoseconds of the server's clock
}

// A takeoverAnswer is the answer of one node.
type takeoverAnswer struct {
	Node     string `json:"node"`
	Instance string `json:"instance"` // "" of an older version of rtdb
	Newer    bool   `json:"newer,omitempty"`
	Error    string `json:"error,omitempty"`
}

func (s *Store) takeoverSubject() string { return s.subjects.services + "takeover" }

// AnswerTakeovers makes the node call end if another node asks for the end of a session. It
// is called once, before the node has sessions.
func (s *Store) AnswerTakeovers(end EndSession) { s.endSession.Store(&end) }

// subscribeTakeovers answers the other nodes from the first beat on. They wait for an answer
// of each node that is alive, even if it still loads the state and has no sessions.
func (s *Store) subscribeTakeovers() error {
	_, err := s.conn.Subscribe(s.takeoverSubject(), func(m *nats.Msg) {
		var t takeover
		if m.Reply == "" || json.Unmarshal(m.Data, &t) != nil {
			return
		}
		s.start(func() { s.answerTakeover(m, t) })
	})
	return err
}

func (s *Store) answerTakeover(m *nats.Msg, t takeover) {
	ctx, cancel := context.WithTimeout(s.lifetime, takeoverTimeout)
	defer cancel()
	s.heart.mu.Lock()
	a := takeoverAnswer{Node: s.options.Node, Instance: s.heart.instance.String()}
	s.heart.mu.Unlock()
	if end := s.endSession.Load(); end != nil {
		newer, err := (*end)(ctx, t.Client, t.Subject, time.Unix(0, t.Since).Add(-s.clock.shift()))
		a.Newer = newer
		if err != nil {
			a.Error = err.Error()
		}
	}
	if data, err := json.Marshal(a); err == nil {
		_ = m.Respond(data) // without the answer, the other node waits longer
	}
}

// TakeOver makes the other nodes end their sessions of a client that has said hello here at
// since. It waits up to 3 s until all nodes that are alive have answered. Then it carries out the
// wills of the client's sessions on nodes that have not answered, or are dead, which takes up to
// 1.5 s. It returns an error that wraps ErrNewerSession if another node has a newer session, and
// another error if such wills may not be written. It returns nil if this node is cut off: nobody
// can be asked, and the other nodes' sessions stay.
func (s *Store) TakeOver(ctx context.Context, client, subject string, since time.Time) error {
	if s.refusal() != nil {
		return nil
	}
	peers := s.nodes.silent(0)
	if err := s.askPeers(ctx, takeover{client, subject, since.Add(s.clock.shift()).UnixNano()}, peers); err != nil {
		return err
	}
	silent := s.nodes.dead()
	for id := range peers {
		if !slices.Contains(silent, id) {
			silent = append(silent, id)
		}
	}
	err := s.claim(ctx, keyspace.WillOwner{Client: client, Subject: subject}, silent)
	if err != nil && s.refusal() != nil {
		return nil
	}
	return err
}

// askPeers sends a takeover to the other nodes, and removes those from peers that have answered.
// It waits for those that are alive.
func (s *Store) askPeers(ctx context.Context, t takeover, peers map[instance]peer) error {
	awaited := map[instance]string{}
	for id, p := range peers {
		if p.isAlive() {
			awaited[id] = p.name
		}
	}
	if len(awaited) == 0 {
		return nil
	}
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	inbox := s.conn.NewInbox()
	answers, err := s.conn.SubscribeSync(inbox)
	if err != nil {
		return nil
	}
	defer func() { _ = answers.Unsubscribe() }()
	if err := s.conn.PublishRequest(s.takeoverSubject(), inbox, data); err != nil {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, takeoverTimeout)
	defer cancel()
	for len(awaited) > 0 {
		m, err := answers.NextMsgWithContext(waiting)
		if err != nil || len(m.Data) == 0 { // the time is over, or nobody listens
			break
		}
		var a takeoverAnswer
		if json.Unmarshal(m.Data, &a) != nil {
			continue
		}
		if a.Newer {
			return fmt.Errorf("%w: %s", ErrNewerSession, a.Node)
		}
		id := a.from(awaited)
		delete(awaited, id)
		delete(peers, id)
	}
	return context.Cause(ctx)
}

// from returns the node that has sent an answer. An answer of an older version does not say
// which life of the node it is from, so it counts for one of those with the node's name.
func (a *takeoverAnswer) from(awaited map[instance]string) instance {
	if id, err := parseInstance(a.Instance); err == nil {
		return id
	}
	for id, name := range awaited {
		if name == a.Node {
			return id
		}
	}
	return 0
}
