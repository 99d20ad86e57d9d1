package jetstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// barrierSuffix ends the subject of a barrier. The subject before it is that of a beat of the
// same instance.
const barrierSuffix = "-barrier"

// A beat is the message that a node publishes each second, through the stream. Each beat of
// an instance has the one before as its condition. So if another node has declared the
// instance dead, by such a message, its next beat is refused: the instance never counts
// again, and the node goes on as another one.
type beat struct {
	Node   string  `json:"node"`
	Number uint64  `json:"number"`          // counts the beats of the process
	Loaded uint64  `json:"loaded"`          // the sequence at which the node had loaded the state
	Digest *Digest `json:"state,omitempty"` // of its state; nil: not loaded yet

	// Dead says that another node, By, has declared the instance dead, or that the node
	// itself leaves.
	Dead bool   `json:"dead,omitempty"`
	By   string `json:"by,omitempty"`
}

// A sentBeat is a beat of this node that has not come back.
type sentBeat struct {
	number uint64
	at     time.Time
}

// sendBeat publishes a beat. It does not wait for the answer.
func (s *Store) sendBeat() {
	s.heart.mu.Lock()
	s.heart.number++
	b := beat{Node: s.options.Node, Number: s.heart.number, Loaded: s.heart.loaded, Digest: s.heart.digest}
	s.heart.sent = append(s.heart.sent, sentBeat{b.Number, time.Now()})
	if n := len(s.heart.sent); n > 2*clockSamples {
		s.heart.sent = s.heart.sent[n-2*clockSamples:]
	}
	id, expected := s.heart.instance, s.heart.last
	s.heart.mu.Unlock()
	err := s.publishBeat(id, expected, b, s.beatPrefix()+id.String())
	if err != nil {
		s.heart.note(err)
	}
}

// publishBeat publishes a beat of an instance, if its last beat is the one expected.
func (s *Store) publishBeat(id instance, expected uint64, b beat, reply string) error {
	data, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return s.conn.PublishMsg(&nats.Msg{
		Subject: s.subjects.beats + id.String(), Reply: reply, Data: data,
		Header: nats.Header{headerExpected: {strconv.FormatUint(expected, 10)}, headerTTL: {beatAge.String()}},
	})
}

// beatPrefix begins the subjects at which the stream answers beats. The instance follows.
func (s *Store) beatPrefix() string { return s.proposals.prefix + "-beat." }

// beatAnswered notes the sequence of a beat, which the next one has as its condition. If the
// stream has refused the beat, beatAnswered notes the reason, for the message of a cut-off
// node.
func (s *Store) beatAnswered(m *nats.Msg) {
	a := parseAnswer(m)
	s.heart.mu.Lock()
	defer s.heart.mu.Unlock()
	var wrong wrongSequence
	switch {
	case a.sequence != 0:
		s.heart.trouble = nil
		if m.Subject == s.beatPrefix()+s.heart.instance.String() {
			s.heart.last = max(s.heart.last, a.sequence)
		}
	case errors.As(a.err, &wrong):
		s.heart.trouble = nil // the feed says why, unless the stream has forgotten the last beat
		isOwn := m.Subject == s.beatPrefix()+s.heart.instance.String()
		s.heart.isForgotten = isOwn && wrong.current == 0 && s.heart.last > 0
	case errors.Is(a.err, errOverlap):
		s.heart.trouble = nil
	default:
		s.heart.trouble = a.err
	}
}

// handleBeat handles a beat of any node.
func (s *Store) handleBeat(x *stored, encoded string) {
	id, err := parseInstance(encoded)
	var b beat
	if err != nil || json.Unmarshal(x.data, &b) != nil {
		return
	}
	s.heart.mu.Lock()
	own := id == s.heart.instance
	if own {
		s.heart.last = max(s.heart.last, x.sequence)
	}
	if s.continuous {
		digest := s.digester.at(x.sequence)
		s.heart.digest = &digest
	}
	s.heart.mu.Unlock()
	switch {
	case own && b.Dead:
		s.bury()
	case own:
		s.heard(x, b.Number)
	case b.Dead:
		s.handleDeath(id, b)
	default:
		s.nodes.heard(id, x.sequence, b, s.age(x))
		s.compare(id, b)
	}
}

// handleDeath handles the news that a node was declared dead.
func (s *Store) handleDeath(id instance, b beat) {
	s.nodes.remove(id)
	s.heart.mu.Lock()
	isFirst := b.By == s.heart.instance.String()
	s.heart.mu.Unlock()
	s.settleEstate(id, isFirst)
	if isFirst {
		s.observe(func(o *Observer) {
			if o.Buried != nil {
				o.Buried(b.Node)
			}
		})
	}
}

// age returns how long ago a message was stored. A message that the feed has brought is new,
// and age does not look at its time: if this machine's clock was just set, all other nodes
// would seem to be silent.
func (s *Store) age(x *stored) time.Duration {
	if s.continuous {
		return 0
	}
	return max(0, s.clock.now().Sub(x.at()))
}

// heard notes that a beat of this node has come back.
func (s *Store) heard(x *stored, number uint64) {
	now := time.Now()
	s.heart.mu.Lock()
	for i, sent := range s.heart.sent {
		if sent.number == number {
			s.clock.learn(sent.at, now, x.at())
			s.heart.sent = s.heart.sent[i+1:]
			s.heart.heardAt = sent.at // the node knows every message that was stored before it
			s.continuous = s.continuous || sent.at.After(s.readAt)
			break
		}
	}
	first, wasCutOff := s.heart.first, s.heart.cutOff != nil
	s.heart.first = nil
	s.heart.mu.Unlock()
	if first != nil {
		first <- x.sequence
	}
	if wasCutOff {
		s.checkHeart()
	}
}

// replaceForgotten begins a new life of this node if the stream has no beat of it any more: the
// node was cut off for longer than beats are kept. Then others may have declared it dead.
func (s *Store) replaceForgotten() {
	s.heart.mu.Lock()
	is := s.heart.isForgotten
	s.heart.isForgotten = false
	s.heart.mu.Unlock()
	if is && s.verify(s.lifetime) == nil {
		s.bury()
	}
}

// bury begins a new life of this node, because the others have declared it dead.
func (s *Store) bury() {
	s.heart.mu.Lock()
	s.heart.instance, s.heart.last = newInstance(), 0
	s.heart.mu.Unlock()
	s.observe(func(o *Observer) {
		if o.DeclaredDead != nil {
			o.DeclaredDead()
		}
	})
}

// compare compares the state that another node reports with the state that this node had at
// the same sequence.
func (s *Store) compare(id instance, b beat) {
	if b.Digest == nil || !s.continuous {
		return
	}
	mine, ok := s.digester.find(b.Digest.Sequence)
	if !ok {
		return
	}
	s.nodes.compared(id, mine == *b.Digest)
	s.judge(b.Node, mine, *b.Digest)
}

// judge decides whether this node's state is wrong, after a comparison.
func (s *Store) judge(other string, mine, theirs Digest) {
	s.heart.mu.Lock()
	loaded, was := s.heart.loaded, s.heart.disagreement
	var is error
	if s.nodes.outvoted(loaded) {
		is = fmt.Errorf("the state differs from that of node %s: here %v, there %v: restart this node; if it differs again, compare the copies of the stream on the NATS servers", other, mine, theirs)
		if was != nil && mine == theirs {
			is = was // the text names a node that differs
		}
	}
	s.heart.disagreement = is
	s.heart.mu.Unlock()
	switch {
	case is != nil && was == nil:
		s.observe(func(o *Observer) {
			if o.Disagrees != nil {
				o.Disagrees(other, mine, theirs)
			}
		})
	case is == nil && was != nil:
		s.observe(func(o *Observer) {
			if o.Agrees != nil {
				o.Agrees()
			}
		})
	}
}
