package jetstream

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"rtdb/keyspace"
)

const (
	// The node that has declared another one dead carries out its wills at once. The other
	// survivors wait for otherSurvivor or longer, and carry out those that are left.
	otherSurvivor = 4 * time.Second

	// estateTimeout bounds the time to carry out the wills of one session of a dead node.
	estateTimeout = 30 * time.Second
)

// settleEstate carries out the wills of the sessions of a dead node. All survivors do it, one
// sooner than the others. Wills that one has carried out are gone for the others.
func (s *Store) settleEstate(dead instance, isFirst bool) {
	s.nodes.unsettle(dead)
	wait := time.Duration(0)
	if !isFirst {
		wait = otherSurvivor + rand.N(otherSurvivor/2)
	}
	s.start(func() {
		for {
			select {
			case <-time.After(wait):
			case <-s.lifetime.Done():
				return
			}
			if s.carryOutEstate(dead) == nil {
				s.nodes.settle(dead)
				return
			}
			wait = beatInterval + rand.N(beatInterval) // cut off, for example
		}
	})
}

// persist calls try beside the caller, until it succeeds or the store is closed.
func (s *Store) persist(try func() error) {
	const longest = 10 * time.Second
	s.start(func() {
		for wait := beatInterval; ; wait = min(2*wait, longest) {
			select {
			case <-time.After(wait/2 + rand.N(wait)):
			case <-s.lifetime.Done():
				return
			}
			if try() == nil {
				return
			}
		}
	})
}

// readEstate passes the records of the sessions of a node to each.
func (s *Store) readEstate(of instance, each func(stored)) error {
	for from := uint64(1); ; {
		r := getRequest{Seq: from, NextFor: s.subjects.wills + of.String() + ".*", Batch: readBatch}
		n, err := s.readSome(r, func(x *stored) error {
			each(*x)
			from = x.sequence + 1
			return nil
		})
		if err != nil || n == 0 {
			return err
		}
	}
}

// carryOutEstate carries out the wills that a dead node has left.
func (s *Store) carryOutEstate(dead instance) error {
	var records []stored
	if err := s.readEstate(dead, func(x stored) { records = append(records, x) }); err != nil {
		return err
	}
	var first error // one session's wills do not keep those of the others waiting
	for i := range records {
		if err := s.refusal(); err != nil {
			return err
		}
		if _, err := s.carryOutRecord(s.lifetime, &records[i]); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// carryOutRecord carries out the wills of one session. It returns the last sequence of the
// writes, or 0 if there is nothing to write.
func (s *Store) carryOutRecord(ctx context.Context, x *stored) (uint64, error) {
	record, ok := decodeRecord(x.data)
	if !ok || len(record.Wills) == 0 {
		return 0, nil // it is empty, or not a record
	}
	ctx, cancel := context.WithTimeout(ctx, estateTimeout)
	defer cancel()
	sequence, err := s.carryOut(ctx, ownRecord{subject: x.subject, sequence: x.sequence, isOfDead: true}, record.Wills)
	if sequence == 0 {
		return 0, err
	}
	s.counts.inherited.Add(uint64(len(record.Wills)))
	return sequence, nil // if wills for topics are lost, they were published at most once
}

// seeRecord notes, while the state is loaded, which nodes have left wills.
func (s *Store) seeRecord(rest string) {
	if s.loaded.Load() {
		return
	}
	id, _, ok := strings.Cut(rest, ".")
	if owner, err := parseInstance(id); ok && err == nil {
		if s.estates == nil {
			s.estates = map[instance]struct{}{}
		}
		s.estates[owner] = struct{}{}
	}
}

// settleForgotten carries out the wills of nodes whose last beat the stream has forgotten.
func (s *Store) settleForgotten() {
	for owner := range s.estates {
		if !s.nodes.knows(owner) {
			s.settleEstate(owner, false)
		}
	}
	s.estates = nil
}

func isConflict(err error) bool {
	var conflict *keyspace.ConflictError
	return errors.As(err, &conflict)
}

// lastMessage returns the last message of a subject. Its sequence is 0 if it does not exist. It may
// be an older one, because any server that has a copy of the stream answers.
func (s *Store) lastMessage(ctx context.Context, subject string) (sequence uint64, data []byte, err error) {
	m, err := s.stream.GetLastMsgForSubject(ctx, subject)
	switch {
	case errors.Is(err, natsjs.ErrMsgNotFound):
		return 0, nil, nil
	case err != nil:
		return 0, nil, err
	}
	return m.Sequence, m.Data, nil
}

// newest is lastMessage with a message that is not older than the call. The server that answers
// has the message of a barrier, too, so it has what was stored before the barrier.
func (s *Store) newest(ctx context.Context, subject string) (sequence uint64, data []byte, err error) {
	if err := s.Barrier(ctx); err != nil {
		return 0, nil, err
	}
	barrier, barrierAt := s.barrierSubject(), s.barriers.last.Load()
	for {
		isCurrent := false
		sequence, data = 0, nil
		_, err = s.readSome(getRequest{LastOf: []string{subject, barrier}, Batch: 2}, func(x *stored) error {
			if x.subject == barrier {
				isCurrent = x.sequence >= barrierAt
			} else {
				sequence, data = x.sequence, x.data
			}
			return nil
		})
		if err == nil && isCurrent {
			return sequence, data, nil
		}
		select {
		case <-time.After(readPause):
		case <-ctx.Done():
			return 0, nil, context.Cause(ctx)
		}
	}
}
