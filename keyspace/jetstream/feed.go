package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"rtdb/keyspace"
)

// Headers of republished messages and of direct gets.
const (
	headerSequence = "Nats-Sequence"
	headerSubject  = "Nats-Subject"
	headerTime     = "Nats-Time-Stamp"
)

// A stored is a message of the stream.
type stored struct {
	subject  string
	sequence uint64
	time     string // RFC 3339 with nanoseconds
	data     []byte

	// hasCondition says that the publisher has named the last sequence of the subject. A
	// commit without a condition could bring an old value back.
	hasCondition bool
}

// parseStored reads a message that the server has published again, or has answered a direct
// get with. ok is false if it is another message.
func parseStored(m *nats.Msg) (x stored, ok bool) {
	subject, sequence, at := m.Header[headerSubject], m.Header[headerSequence], m.Header[headerTime]
	if len(subject) != 1 || len(sequence) != 1 || len(at) != 1 {
		return x, false
	}
	n, err := strconv.ParseUint(sequence[0], 10, 64)
	x = stored{subject: subject[0], sequence: n, time: at[0], data: m.Data, hasCondition: len(m.Header[headerExpected]) == 1}
	return x, err == nil && n > 0
}

// at returns the server's time when the message was stored.
func (x *stored) at() time.Time { return parseTime(x.time) }

func parseTime(text string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, text) // the server has made it
	return t
}

// A sink receives the records of one commit that the feed brings.
type sink func(records []keyspace.Record) error

// So many messages, and bytes of them, may wait for the feed. If more wait, they are dropped,
// and the feed reads them from the stream later. A subscription of nats.go holds no more
// messages.
const (
	feedPendingMessages = nats.DefaultMaxChanLen
	feedPendingBytes    = 512 << 20
)

// subscribeFeed subscribes to the messages that the server publishes again. They come in the
// stream's order, but some may be lost: then the sequence has a gap.
func (s *Store) subscribeFeed() (err error) {
	if s.fed, err = s.conn.SubscribeSync(s.subjects.fed + ">"); err != nil {
		return err
	}
	return s.fed.SetPendingLimits(feedPendingMessages, feedPendingBytes)
}

// A feed is behind from the first number of waiting messages on, until there are fewer than
// the second.
const (
	behindFrom  = 10_000
	behindUntil = 1000
)

// checkFeed tells the observer when the feed falls behind. Only beat calls it.
func (s *Store) checkFeed() {
	if !s.following.Load() {
		return
	}
	waiting, _, err := s.fed.Pending()
	switch {
	case err != nil:
	case waiting < behindUntil:
		s.behind = false
	case waiting >= behindFrom && !s.behind:
		s.behind = true
		s.observe(func(o *Observer) {
			if o.Behind != nil {
				o.Behind(uint64(waiting))
			}
		})
	}
}

// nextFed returns the next message that was published again. It returns the cause of the
// store's lifetime when that has ended.
func (s *Store) nextFed() (stored, error) {
	for {
		m, err := s.fed.NextMsgWithContext(s.lifetime)
		switch {
		case s.lifetime.Err() != nil:
			return stored{}, context.Cause(s.lifetime)
		case errors.Is(err, nats.ErrSlowConsumer):
			continue // messages were dropped: the gap is filled
		case err != nil:
			return stored{}, err
		}
		if x, ok := parseStored(m); ok {
			return x, nil
		}
	}
}

// follow passes the messages that are stored from now on to the sink, until the store is
// closed.
func (s *Store) follow(to sink) {
	for s.followOne(to) == nil {
	}
}

// catchUp follows the feed until it has brought every message since a beat that was sent
// after the stream was read. A message that is replaced while the stream is read may be
// missing from the load, and the message that replaced it comes by the feed.
func (s *Store) catchUp(to sink) error {
	s.sendBeat() // the next regular one may be a second away
	for !s.continuous {
		if err := s.followOne(to); err != nil {
			return err
		}
	}
	return nil
}

// followOne passes the next message of the feed to the sink. It reads the messages of a gap
// from the stream.
//
// It verifies the stream if a sequence is not the next one, or falls, and after the connection
// was lost.
func (s *Store) followOne(to sink) error {
	x, err := s.nextFed()
	if err != nil {
		return err
	}
	next := s.place.now() + 1
	if s.suspect.Swap(false) || x.sequence <= s.lastFed || x.sequence > next {
		end, err := s.awaitVerified()
		if err != nil {
			return err
		}
		if x.sequence > end { // another client has made it up, or a server knows an old end
			s.tellForeign(&x)
			return nil
		}
	}
	s.lastFed = x.sequence
	if x.sequence > next {
		if err := s.fill(x.sequence, to); err != nil {
			return err
		}
	}
	if x.sequence <= s.place.now() {
		return nil // it was read to fill a gap
	}
	return s.take(&x, to)
}

// fill reads the messages of a gap: from the feed's place on, at least until the sequence.
// Only the newest message of each key is still there.
func (s *Store) fill(until uint64, to sink) error {
	began, before := time.Now(), parseTime(s.takenAt)
	n := 0
	s.continuous = false
	s.fills.Add(1)
	defer func() {
		s.readAt = time.Now()
		s.fills.Add(1)
	}()
	err := s.readUntil(until, func(x *stored) error {
		n++
		return s.take(x, to)
	})
	if err == nil && !before.IsZero() {
		err = s.checkDeletes(before)
	}
	if err == nil {
		s.counts.filled.Add(uint64(n))
		s.observe(func(o *Observer) {
			if o.Filled != nil {
				o.Filled(n, time.Since(began))
			}
		})
	}
	return err
}

// take handles a message, and moves the feed's place to it.
func (s *Store) take(x *stored, to sink) error {
	if x.sequence > s.place.now()+1 {
		s.proposals.passed(x.sequence - 1)
	}
	if err := s.handle(x, to); err != nil {
		return err
	}
	s.takenAt = x.time
	s.place.advance(x.sequence)
	if s.advance != nil {
		s.advance(lastVersion(x.sequence))
	}
	return nil
}

// handle handles a message by its subject.
func (s *Store) handle(x *stored, to sink) error {
	if rest, ok := strings.CutPrefix(x.subject, s.subjects.keys); ok {
		return s.handleCommit(x, rest, to)
	}
	if rest, ok := strings.CutPrefix(x.subject, s.subjects.beats); ok {
		if !strings.HasSuffix(rest, barrierSuffix) {
			s.handleBeat(x, rest)
		}
		return nil
	}
	if rest, ok := strings.CutPrefix(x.subject, s.subjects.wills); ok {
		s.seeRecord(rest)
	}
	return nil
}

// handleCommit passes the records of a commit to the sink, unless this node has proposed them
// and applies them itself.
func (s *Store) handleCommit(x *stored, encoded string, to sink) error {
	name, err := decodeName(encoded)
	if err == nil {
		err = keyspace.CheckName(name)
	}
	if err == nil && !x.hasCondition {
		err = errNotMessage
	}
	var o operation
	var records []keyspace.Record
	if err == nil {
		o, records, err = decodeCommit(x.data, x.subject, name, x.sequence, s.clock.shift())
	}
	if err != nil {
		return s.handleForeign(x, name)
	}
	s.digester.set(name, x.sequence, records[len(records)-1].Value != nil)
	if o.instance == s.process && s.proposals.brought(o.number, x.sequence) {
		return nil
	}
	return to(records)
}

// handleForeign handles a message on the subject of a key that is not a commit. If it has taken
// the place of a value, the key's owner commits the value again, so that nodes that start later
// have it. name is "" if the subject is not that of a key.
func (s *Store) handleForeign(x *stored, name string) error {
	if isNewerFormat(x.data, x.subject) {
		err := fmt.Errorf("jetstream: a newer version of rtdb has written the key %q, and this one cannot read it: upgrade this node", name)
		s.fail(err)
		return err
	}
	s.tellForeign(x)
	if s.repair != nil && keyspace.CheckName(name) == nil && s.ExpiryDelay(name) == 0 {
		s.repair(name)
	}
	return nil
}

func (s *Store) tellForeign(x *stored) {
	s.counts.foreign.Add(1)
	s.observe(func(o *Observer) {
		if o.Foreign != nil {
			o.Foreign(x.subject, x.sequence)
		}
	})
}
