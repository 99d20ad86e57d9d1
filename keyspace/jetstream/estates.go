package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"rtdb/keyspace"
)

const (
	// otherSurvivor is how much longer than the node that has declared another one dead the
	// other survivors wait until they look for wills that are left.
	otherSurvivor = 4 * time.Second

	// estateTimeout bounds the time to carry out the wills of one session of a dead node.
	estateTimeout = 30 * time.Second
)

// settleEstate carries out the wills of the sessions of a dead node. All survivors do it, one
// sooner than the others; what one has done, the others find done.
func (s *Store) settleEstate(dead instance, isFirst bool) {
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
				return
			}
			wait = beatInterval + rand.N(beatInterval) // cut off, for example
		}
	})
}

// carryOutEstate carries out the wills that a dead node has left.
func (s *Store) carryOutEstate(dead instance) error {
	prefix := s.subjects.wills + dead.String() + "."
	var records []stored
	for from := uint64(1); ; {
		n, err := s.readSome(getRequest{Seq: from, NextFor: prefix + "*", Batch: readBatch}, func(x *stored) error {
			records = append(records, *x)
			from = x.sequence + 1
			return nil
		})
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	for i := range records {
		if err := s.carryOutRecord(&records[i]); err != nil {
			return err
		}
	}
	return nil
}

// carryOutRecord carries out the wills of one session.
func (s *Store) carryOutRecord(x *stored) error {
	var record willRecord
	if json.Unmarshal(x.data, &record) != nil || len(record.Wills) == 0 {
		return nil // it is empty, or not a record
	}
	ctx, cancel := context.WithTimeout(s.lifetime, estateTimeout)
	defer cancel()
	sequence, err := s.carryOut(ctx, ownRecord{x.subject, x.sequence}, record.Wills)
	if err == nil && sequence > 0 {
		s.counts.inherited.Add(uint64(len(record.Wills)))
	}
	return err
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

// lastMessage returns the last message of a subject. Its sequence is 0 if there is none.
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
