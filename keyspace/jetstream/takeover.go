package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// takeoverTimeout bounds the wait for the other nodes. One that does not answer is cut off or
// dead, and its sessions end when it comes back.
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
	Node  string `json:"node"`
	Newer bool   `json:"newer,omitempty"`
	Error string `json:"error,omitempty"`
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
	a := takeoverAnswer{Node: s.options.Node}
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
// since. It returns when all nodes that are alive have answered, or after 3 s. It returns an
// error that wraps ErrNewerSession if another node has a newer session. It returns nil if the
// node is cut off: nobody can be asked, and the other nodes' sessions stay.
func (s *Store) TakeOver(ctx context.Context, client, subject string, since time.Time) error {
	peers := s.nodes.alive()
	if peers == 0 || s.refusal() != nil {
		return nil
	}
	data, err := json.Marshal(takeover{client, subject, since.Add(s.clock.shift()).UnixNano()})
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
	ctx, cancel := context.WithTimeout(ctx, takeoverTimeout)
	defer cancel()
	for answered := 0; answered < peers; {
		m, err := answers.NextMsgWithContext(ctx)
		if err != nil || len(m.Data) == 0 { // the time is over, or nobody listens
			return nil
		}
		var a takeoverAnswer
		switch err := json.Unmarshal(m.Data, &a); {
		case err != nil:
		case a.Newer:
			return fmt.Errorf("%w: %s", ErrNewerSession, a.Node)
		default:
			answered++
		}
	}
	return nil
}
