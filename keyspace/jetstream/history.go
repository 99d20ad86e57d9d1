package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
)

// An operator may delete the stream and make it again, or bring an old copy back. Then its
// sequences and versions belong to another history, and the state of this node is worth
// nothing. So the stream is verified if the node sees something that its history does not
// explain: sequences that fall, or a key without the message that it had. A node that sees
// neither notices it soon, too, because another history refuses the condition of its beats.

// verify returns nil if the stream is still the one that was loaded. If it is another one, the
// store fails.
func (s *Store) verify(ctx context.Context) error {
	_, err := s.verifyEnd(ctx)
	return err
}

// verifyEnd is verify. If it returns no error, end is the sequence of the stream's last message.
func (s *Store) verifyEnd(ctx context.Context) (end uint64, err error) {
	if !s.conn.IsConnected() {
		return 0, errNotConnected
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	place := s.place.now()
	stream, err := s.js.Stream(ctx, s.options.Stream)
	if err != nil {
		return 0, fmt.Errorf("jetstream: cannot verify the stream %q: %w", s.options.Stream, err)
	}
	info := stream.CachedInfo()
	switch {
	case !info.Created.Equal(s.created):
		err = fmt.Errorf("jetstream: the stream %q was made anew at %s: restart this node", s.options.Stream, info.Created.Format(time.RFC3339))
	case info.State.LastSeq < place:
		err = fmt.Errorf("jetstream: the stream %q has lost its newest messages: it ends at sequence %d, but this node has seen %d: restart this node",
			s.options.Stream, info.State.LastSeq, place)
		if info.Config.Replicas > 1 {
			// A server that no longer leads the stream, and does not know it, says so, too.
			return 0, &lostError{err}
		}
	default:
		return info.State.LastSeq, nil
	}
	s.fail(err)
	return 0, err
}

// A lostError says that the stream lacks messages, according to a server that may be wrong.
type lostError struct{ error }

// awaitVerified returns the stream's last sequence when the stream is known to be the one that
// was loaded. It returns an error if it is not, or if the store was closed.
func (s *Store) awaitVerified() (end uint64, err error) {
	for {
		end, err := s.verifyEnd(s.lifetime)
		if err == nil {
			return end, nil
		}
		if failure := s.failure(); failure != nil {
			return 0, failure
		}
		select {
		case <-time.After(readPause):
		case <-s.lifetime.Done():
			return 0, context.Cause(s.lifetime)
		}
	}
}

// missingLimit is how many times in a row, once a second, the stream must be missing, or must
// lack messages. A server that has lost its followers needs up to 20 s to notice that it does
// not lead any more.
const missingLimit = 25

// checkStream verifies the stream while the node is cut off.
func (s *Store) checkStream() {
	err := s.verify(s.lifetime)
	var lost *lostError
	isMissing := errors.Is(err, natsjs.ErrStreamNotFound) // a cluster that has just started may not know it yet
	if isMissing {
		err = fmt.Errorf("jetstream: the stream %q is gone: restore it from a backup before you restart the nodes, or they begin with an empty state", s.options.Stream)
	}
	switch {
	case err == nil:
		s.missing = 0
	case isMissing || errors.As(err, &lost):
		if s.missing++; s.missing >= missingLimit {
			s.fail(err)
		}
	}
}

// fail ends the store: nothing is committed from now on.
func (s *Store) fail(err error) {
	s.heart.mu.Lock()
	isFirst := s.heart.failure == nil
	if isFirst {
		s.heart.failure = err
	}
	s.heart.mu.Unlock()
	if isFirst {
		s.place.fail(err)
		s.observe(func(o *Observer) {
			if o.Failed != nil {
				o.Failed(err)
			}
		})
	}
}

// failure returns why the store has failed, nil if it has not.
func (s *Store) failure() error {
	s.heart.mu.Lock()
	defer s.heart.mu.Unlock()
	return s.heart.failure
}
