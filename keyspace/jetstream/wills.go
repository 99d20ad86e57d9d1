package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"rtdb/keyspace"
)

// maxWills is the number of wills that one atomic batch has space for, besides the message that
// empties the record (max_batch_size of nats-server is 1000 if it is not set).
const maxWills = 999

// maxCarrying is the number of sessions whose wills are carried out at the same time. More would
// not be faster, and would be tried again, all of them, because the stream answers too late.
const maxCarrying = 16

// KeepWills implements [keyspace.WillStore].
func (s *Store) KeepWills(ctx context.Context, session string, owner keyspace.WillOwner, wills []keyspace.Will) error {
	if err := s.refusal(); err != nil {
		return err
	}
	if len(wills) > maxWills {
		return fmt.Errorf("%w: a session may have %d, not %d", keyspace.ErrTooManyWills, maxWills, len(wills))
	}
	r, known := s.wills.find(session)
	if !known {
		s.heart.mu.Lock()
		r.subject = s.subjects.wills + s.heart.instance.String() + "." + session
		s.heart.mu.Unlock()
	}
	var record willRecord
	for _, w := range wills {
		record.Wills = append(record.Wills, newKeptWill(w))
	}
	if len(wills) == 0 {
		record.By = s.process.String()
	} else {
		record.Client, record.Subject = owner.Client, owner.Subject
	}
	for {
		m, err := recordMessage(r, record)
		if err != nil {
			return err
		}
		if limit := s.conn.MaxPayload(); int64(len(m.Data)+maxOverhead) > limit {
			return fmt.Errorf("%w: they take %d bytes, and a message of NATS may have %d", keyspace.ErrTooManyWills, len(m.Data), limit)
		}
		s.wills.put(session, r) // the message may be stored although propose fails
		p := s.proposals.begin(false)
		sequence, err := s.propose(ctx, p, m)
		s.proposals.end(p)
		if err == nil {
			r.sequence = sequence
			s.wills.put(session, r)
			return nil
		}
		if !isConflict(err) {
			return err
		}
		// Another node has emptied the record, or a message of an earlier attempt was stored.
		last, now, lastErr := s.lastRecord(ctx, r)
		if lastErr != nil {
			return lastErr
		}
		if last == r.sequence || last != 0 && len(now.Wills) == 0 && now.By != s.process.String() {
			return err
		}
		r.sequence = last
	}
}

// lastRecord returns the last message of a record. Its sequence is 0 if it does not exist.
func (s *Store) lastRecord(ctx context.Context, r ownRecord) (sequence uint64, record willRecord, err error) {
	sequence, data, err := s.newest(ctx, r.subject)
	if err == nil && sequence != 0 {
		record, _ = decodeRecord(data)
	}
	return sequence, record, err
}

// CarryOutWills implements [keyspace.WillStore]. If it fails, it goes on beside the caller. A
// record that is left would be carried out when the node ends, perhaps after days.
func (s *Store) CarryOutWills(ctx context.Context, session string, wills []keyspace.Will) error {
	r, known := s.wills.find(session)
	if !known {
		return nil
	}
	s.wills.remove(session)
	kept := make([]keptWill, len(wills))
	for i, w := range wills {
		kept[i] = newKeptWill(w)
	}
	sequence, err := s.carryOut(ctx, r, kept)
	switch {
	case sequence != 0:
		return errors.Join(err, s.place.await(ctx, sequence))
	case err != nil:
		s.persist(func() error {
			if err := s.refusal(); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(s.lifetime, estateTimeout)
			defer cancel()
			sequence, err := s.carryOut(ctx, r, kept)
			if sequence != 0 {
				return nil
			}
			return err
		})
	}
	return err
}

// errOtherWills means that a record has other wills than those to be carried out.
var errOtherWills = errors.New("jetstream: the record of wills has changed")

// carryOut makes the writes of wills and empties their record. It returns the last sequence
// of the batch, or 0 if another node has emptied the record already. The writes come to this
// node by the feed, like those of another node. If it returns an error and a sequence, the
// writes are made, and wills for topics are lost.
//
// The record of a session of this node may have a message that the session does not know of.
// The one of a dead node must be the one that was read.
func (s *Store) carryOut(ctx context.Context, r ownRecord, kept []keptWill) (uint64, error) {
	select {
	case s.carrying <- struct{}{}:
		defer func() { <-s.carrying }()
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	for {
		p := s.proposals.begin(false)
		batch, err := s.willBatch(ctx, p, r, kept)
		if err != nil {
			s.proposals.end(p)
			return 0, err
		}
		sequence, err := s.propose(ctx, p, batch...)
		s.proposals.end(p)
		if err == nil {
			return sequence, s.publishWills(kept)
		}
		if !isConflict(err) {
			return 0, fmt.Errorf("jetstream: carry out wills: %w", err)
		}
		last, now, lastErr := s.lastRecord(ctx, r)
		switch {
		case lastErr != nil:
			return 0, lastErr
		case last == r.sequence: // a key was written meanwhile, so its condition is decided anew
		case last == 0:
			return 0, nil // it was emptied, and is forgotten
		case len(now.Wills) == 0 && now.By == s.process.String():
			return last, s.publishWills(kept) // the answer was lost
		case len(now.Wills) == 0:
			return 0, nil // another node has carried them out
		case r.isOfDead:
			return 0, errOtherWills
		default:
			r.sequence = last
		}
		select {
		case <-time.After(pause(3)):
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// willBatch returns the messages that carry out wills: first the one that empties the record,
// and then the write of each key whose condition holds.
func (s *Store) willBatch(ctx context.Context, p *proposal, r ownRecord, kept []keptWill) ([]*nats.Msg, error) {
	empty, err := recordMessage(r, willRecord{By: s.process.String()})
	if err != nil {
		return nil, err
	}
	batch := []*nats.Msg{empty}
	for _, w := range kept {
		if w.Key == "" {
			continue
		}
		m, err := s.willMessage(ctx, p, w)
		if err != nil {
			return nil, err
		}
		if m != nil {
			batch = append(batch, m)
		}
	}
	return batch, nil
}

// willMessage returns the write of a will, nil if its condition does not hold or there is
// nothing to delete.
func (s *Store) willMessage(ctx context.Context, p *proposal, w keptWill) (*nats.Msg, error) {
	subject := s.subjects.keys + encodeName(w.Key)
	read := s.lastMessage
	if w.IfVersion != nil || w.Value == nil { // that the key needs no write must rest on its newest message
		read = s.newest
	}
	position, data, err := read(ctx, subject)
	if err != nil {
		return nil, err
	}
	var version uint64 // 0: the key has no value
	if data != nil {
		_, records, err := decodeCommit(data, subject, w.Key, position, 0)
		if n := len(records); err == nil && records[n-1].Value != nil {
			version = records[n-1].Version
		}
	}
	if w.IfVersion != nil && *w.IfVersion != version || w.Value == nil && version == 0 {
		return nil, nil
	}
	now := s.clock.local()
	record := keyspace.Record{Key: w.Key, Value: w.Value, Written: now.UnixMilli(), Position: firstVersion(position)}
	if w.TTL > 0 && w.Value != nil {
		record.Expires = now.Add(time.Duration(w.TTL) * time.Millisecond)
	}
	m := newMessage()
	return &m.Msg, s.fillCommit(m, p, []keyspace.Record{record})
}
