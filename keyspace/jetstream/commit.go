package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"rtdb/keyspace"
)

// Headers of JetStream.
const (
	headerExpected = "Nats-Expected-Last-Subject-Sequence"
	headerTTL      = "Nats-TTL"

	headerBatch         = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
)

// maxOverhead is greater than the size of a message without its value.
const maxOverhead = 4 << 10

// A PayloadError means that a message of NATS may not be as long as the longest value.
type PayloadError struct {
	Limit int64 // max_payload of the NATS server
	Value int   // the length of the longest value
}

func (e *PayloadError) Error() string {
	return fmt.Sprintf("jetstream: max_payload of the NATS server is %d bytes, which is too little for values of %d bytes: raise it to %d, or lower --max-value-bytes",
		e.Limit, e.Value, e.Value+maxOverhead)
}

// Commit proposes the writes of one key to the stream, as one message. A node that is cut off
// because NATS has no room for its beats still proposes deletes, which make room.
func (s *Store) Commit(ctx context.Context, writes []keyspace.Record) error {
	isDelete := writes[len(writes)-1].Value == nil
	if err := s.refusal(); err != nil && !(isDelete && errors.Is(err, keyspace.ErrInsufficientStorage)) {
		return err
	}
	p := s.proposals.begin(true)
	m := p.message
	if err := s.fillCommit(m, p, writes); err != nil {
		s.proposals.end(p)
		return err
	}
	sequence, err := s.propose(ctx, p, &m.Msg)
	s.outbox.leave(p, true)
	if late := s.proposals.end(p); late != 0 {
		sequence, err = late, nil
	}
	if err != nil {
		return s.commitError(err)
	}
	version := firstVersion(sequence)
	for i := range writes {
		w := &writes[i]
		w.Position = version + uint64(len(writes)) - 1
		if !w.Touch {
			w.Version = version + uint64(i)
		}
	}
	return nil
}

// fillCommit makes m the message of a commit. It sets Written to the time of the cluster.
func (s *Store) fillCommit(m *message, p *proposal, writes []keyspace.Record) error {
	shift := s.clock.shift()
	for i := range writes {
		if !writes[i].Touch {
			writes[i].Written += shift.Milliseconds()
		}
	}
	m.Subject = encodeSubject(s.subjects.keys, writes[0].Key)
	m.expect(sequenceOf(writes[0].Position))
	if writes[len(writes)-1].Value == nil {
		m.Header[headerTTL] = []string{deleteAge.String()}
	}
	size := headerLength + sumLength
	for i := range writes {
		size += len(writes[i].Value) + 32
	}
	m.Data = appendCommit(slices.Grow(m.Data[:0], size), m.Subject, operation{s.process, p.number}, writes, shift)
	if limit := s.conn.MaxPayload(); int64(len(m.Data)+maxOverhead) > limit {
		return &PayloadError{Limit: limit, Value: len(m.Data)}
	}
	return nil
}

// commitError turns the reason why a proposal failed into an error of Commit.
func (s *Store) commitError(err error) error {
	var conflict *keyspace.ConflictError
	switch {
	case errors.As(err, &conflict):
		s.counts.conflicts.Add(1)
	case errors.Is(err, keyspace.ErrUnknownOutcome):
		s.counts.unknown.Add(1)
	case errors.Is(err, errNoStorage):
		return fmt.Errorf("%w: %w", keyspace.ErrInsufficientStorage, err)
	}
	return err
}

// propose publishes a message until the stream has accepted or refused it, and returns its
// sequence. The message is the same each time, and has a condition on its subject, so the
// stream accepts it at most once. A message without a condition may be accepted twice.
//
// If an attempt has no answer, its outcome is not known. Then propose goes on until it is
// known, and in the end returns an error that wraps keyspace.ErrUnknownOutcome.
//
// After a partition, two servers may believe for some seconds that they lead the stream, and
// both may answer an attempt. Only one of them can accept it. So an attempt that was refused
// may have been accepted nevertheless, unless the refusal says that the key has a newer message.
//
// Several messages are stored together, or not at all (atomic batch of JetStream, ADR-50).
// Then the result is the sequence of the last one.
func (s *Store) propose(ctx context.Context, p *proposal, messages ...*nats.Msg) (uint64, error) {
	deadline := time.Now().Add(commitTimeout)
	before := s.place.now()
	sent, unanswered := 0, 0
	reason := errNoAnswer
	giveUp := func(err error) (uint64, error) {
		if s.outbox.leave(p, false) {
			unanswered--
		}
		if unanswered > 0 {
			return 0, fmt.Errorf("%w: %w", keyspace.ErrUnknownOutcome, err)
		}
		return 0, fmt.Errorf("jetstream: the message was not accepted: %w", err)
	}
	for attempt := 0; ; attempt++ {
		wait := attemptTimeout
		if attempt == 0 && p.appliesItself {
			s.outbox.send(p)
			sent++
			unanswered++
		} else if err := s.publish(p, attempt, messages); err != nil { // it was not sent
			reason, wait = err, pause(attempt)
		} else {
			sent++
			unanswered++
		}
		for again := false; !again; {
			p.timer.Reset(min(wait, max(0, time.Until(deadline))))
			select {
			case a := <-p.answers:
				if a.sequence != 0 && a.sequence <= before {
					s.suspect.Store(true)
					return giveUp(errOtherHistory)
				}
				if a.sequence != 0 {
					return a.sequence, nil
				}
				reason = a.err
				var wrong wrongSequence
				switch isWrong := errors.As(a.err, &wrong); {
				case isWrong && len(messages) == 1 && wrong.current < expectedSequence(messages[0]):
					sequence, err := s.settleLower(ctx, p, wrong.current, deadline)
					if !errors.Is(err, errNotSettled) {
						return sequence, err
					}
					reason = err
				case isWrong:
					return s.settleConflict(ctx, p, wrong.current, deadline, sent > 1)
				case errors.Is(a.err, errNoLeader): // no server has got the attempt
					unanswered--
				case errors.Is(a.err, errNotAllowed), errors.Is(a.err, errNoStorage):
					unanswered--
					return giveUp(a.err)
				}
				if a.attempt == attempt { // otherwise a newer attempt waits for its answer
					wait = pause(attempt)
				}
			case <-p.timer.C:
				if attempt == 0 && s.outbox.leave(p, wait < attemptTimeout) {
					sent--
					unanswered--
				}
				if !time.Now().Before(deadline) {
					return giveUp(fmt.Errorf("NATS did not accept the write within %v: %w", commitTimeout, reason))
				}
				again = true
			case <-ctx.Done():
				return giveUp(context.Cause(ctx))
			}
		}
	}
}

// publish publishes the messages of an attempt.
func (s *Store) publish(p *proposal, attempt int, messages []*nats.Msg) error {
	messages[len(messages)-1].Reply = s.proposals.replySubject(p, attempt)
	if p.appliesItself {
		p.message.clearBatch()
	}
	if len(messages) > 1 {
		s.batching.Lock() // otherwise batches mix, and the stream takes 50 unfinished ones
		defer s.batching.Unlock()
		id := fmt.Sprintf("%v-%d-%d", s.process, p.number, attempt)
		for i, m := range messages {
			m.Header[headerBatch] = []string{id}
			m.Header[headerBatchSequence] = []string{strconv.Itoa(i + 1)}
		}
		messages[len(messages)-1].Header[headerBatchCommit] = []string{"1"}
	}
	for _, m := range messages {
		if err := s.conn.PublishMsg(m); err != nil {
			return err
		}
	}
	return nil
}

var errNoAnswer = errors.New("no answer")

// pause returns the time until the next attempt: some milliseconds, with a jitter so that two
// nodes that overlap do not do so again.
func pause(attempt int) time.Duration {
	longest := min(time.Millisecond<<min(attempt, 7), 100*time.Millisecond)
	return time.Millisecond/2 + rand.N(longest)
}

// errOtherHistory means that a proposal was accepted by a stream with another history.
var errOtherHistory = errors.New("the stream was made anew")

// expectedSequence returns the sequence that is the condition of a message.
func expectedSequence(m *nats.Msg) uint64 {
	n, _ := strconv.ParseUint(m.Header.Get(headerExpected), 10, 64) // without a condition it is 0
	return n
}

// errReplaced means that the outcome of a proposal cannot be known: its answer was lost, and
// the feed has not brought its message, but has missed messages.
var errReplaced = errors.New("the answer was lost, and a newer write of the key has replaced what was there")

// errNotSettled means that another attempt is needed.
var errNotSettled = errors.New("a server lacks the key's last message")

// settleLower finds out why the key has a lower sequence than the proposal expects. The message
// may be gone: a delete that the stream has forgotten, or an operator has purged the key. Or a
// server that no longer leads the stream has answered. A barrier needs the server that leads.
// When it has passed, that server has taken or refused the attempts before it.
func (s *Store) settleLower(ctx context.Context, p *proposal, current uint64, deadline time.Time) (uint64, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	_ = s.verify(ctx) // the stream may be another one
	if err := s.failure(); err != nil {
		return 0, fmt.Errorf("%w: %w", keyspace.ErrUnknownOutcome, err)
	}
	if err := s.barriers.wait(ctx, s.makeBarrier); err != nil {
		return 0, fmt.Errorf("%w: %w", errNotSettled, err)
	}
	return s.settleConflict(ctx, p, current, deadline, true)
}

// settleConflict finds out why the key has another sequence than the proposal expects: the
// message may be the proposal itself, whose answer was lost. It waits until the feed has
// brought the message. If it is another one, the proposal can never be accepted. If it is
// another one and the feed has missed messages, an earlier attempt may have been accepted
// before.
func (s *Store) settleConflict(ctx context.Context, p *proposal, current uint64, deadline time.Time, isRepeated bool) (uint64, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	err := s.place.await(ctx, current)
	for {
		select {
		case a := <-p.answers:
			if a.sequence != 0 {
				return a.sequence, nil
			}
			continue
		default:
		}
		break
	}
	switch {
	case err == nil && isRepeated && s.proposals.mayHaveMissed(p):
		return 0, fmt.Errorf("%w: %w", keyspace.ErrUnknownOutcome, errReplaced)
	case err == nil:
		return 0, &keyspace.ConflictError{Position: lastVersion(current)}
	case isRepeated:
		return 0, fmt.Errorf("%w: %w", keyspace.ErrUnknownOutcome, err)
	}
	return 0, fmt.Errorf("jetstream: another node has written the key, and its write did not arrive in time: try again: %w", err)
}

// Barrier returns when the feed has brought all messages that were stored before the call.
// Callers that come while a barrier is made share the next one.
func (s *Store) Barrier(ctx context.Context) error {
	if err := s.refusal(); err != nil {
		return err
	}
	return s.barriers.wait(ctx, func() error { return s.makeBarrier() })
}

// makeBarrier stores a message and waits until the feed has brought it. While the feed fills a
// gap, it may pass the message before it has read the newest message of a key, so then another
// barrier is made.
func (s *Store) makeBarrier() error {
	if err := s.refusal(); err != nil { // the caller may have waited for the barrier before
		return err
	}
	for {
		fills := s.fills.Load()
		err := s.makeOneBarrier()
		if err != nil || fills%2 == 0 && fills == s.fills.Load() {
			return err
		}
	}
}

func (s *Store) makeOneBarrier() error {
	p := s.proposals.begin(false)
	defer s.proposals.end(p)
	sequence, err := s.propose(s.lifetime, p, &nats.Msg{
		Subject: s.barrierSubject(),
		Header:  nats.Header{headerTTL: {beatAge.String()}},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.lifetime, commitTimeout)
	defer cancel()
	if err := s.place.await(ctx, sequence); err != nil {
		return err
	}
	s.barriers.last.Store(sequence)
	return nil
}

func (s *Store) barrierSubject() string {
	return s.subjects.beats + s.process.String() + barrierSuffix
}
