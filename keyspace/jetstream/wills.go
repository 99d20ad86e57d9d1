package jetstream

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"rtdb/keyspace"
)

// A willRecord is the message that keeps the wills of a session. Its subject has the instance
// of the node and the name of the session.
//
// The wills are carried out in one atomic batch: the writes, and a message that empties the
// record. All have the last sequence of their subjects as their conditions. So of the
// session's own node and the survivors, exactly one carries them out.
type willRecord struct {
	Wills []keptWill `json:"wills"` // none: the record is empty
}

// A keptWill is a [keyspace.Will] as the stream keeps it.
type keptWill struct {
	Key       string  `json:"key,omitempty"`
	Topic     string  `json:"topic,omitempty"`
	Value     []byte  `json:"value,omitempty"` // none: the key is deleted
	IfVersion *uint64 `json:"if_version,omitempty"`
	TTL       int64   `json:"ttl_ms,omitempty"`
}

func newKeptWill(w keyspace.Will) keptWill {
	k := keptWill{Value: w.Value, IfVersion: w.IfVersion, TTL: w.TTL.Milliseconds()}
	if w.Target.OfTopics() {
		k.Topic = w.Target.Name
	} else {
		k.Key = w.Target.Name
	}
	return k
}

// emptyAge is how long the stream remembers a record that is empty. It is as long as a node
// may take to notice that it was declared dead.
const emptyAge = time.Hour

// wills are the records of this node's sessions.
type wills struct {
	mu      sync.Mutex
	records map[string]ownRecord // by the session's name
}

// An ownRecord is where the record of a session is.
type ownRecord struct {
	subject  string
	sequence uint64
}

func (w *wills) find(session string) (ownRecord, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, ok := w.records[session]
	return r, ok
}

func (w *wills) put(session string, r ownRecord) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.records == nil {
		w.records = map[string]ownRecord{}
	}
	w.records[session] = r
}

func (w *wills) remove(session string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.records, session)
}

// KeepWills implements [keyspace.WillStore].
func (s *Store) KeepWills(ctx context.Context, session string, wills []keyspace.Will) error {
	if err := s.refusal(); err != nil {
		return err
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
	m, err := recordMessage(r, record)
	if err != nil {
		return err
	}
	p := s.proposals.begin(false)
	defer s.proposals.end(p)
	r.sequence, err = s.propose(ctx, p, m)
	if err != nil {
		// A message of an earlier attempt may have been stored, so that the next one needs
		// its sequence. A session whose record another node has emptied is about to end.
		if last, _, lastErr := s.lastMessage(ctx, r.subject); lastErr == nil && known {
			s.wills.put(session, ownRecord{r.subject, last})
		}
		return err
	}
	s.wills.put(session, r)
	return nil
}

// recordMessage returns the message that replaces a record.
func recordMessage(r ownRecord, record willRecord) (*nats.Msg, error) {
	data, err := json.Marshal(record)
	if err != nil {
		return nil, err
	}
	m := &nats.Msg{Subject: r.subject, Data: data, Header: nats.Header{
		headerExpected: {strconv.FormatUint(r.sequence, 10)},
	}}
	if len(record.Wills) == 0 {
		m.Header[headerTTL] = []string{emptyAge.String()}
	}
	return m, nil
}

// CarryOutWills implements [keyspace.WillStore].
func (s *Store) CarryOutWills(ctx context.Context, session string, wills []keyspace.Will) error {
	r, known := s.wills.find(session)
	if !known {
		return nil
	}
	defer s.wills.remove(session)
	kept := make([]keptWill, len(wills))
	for i, w := range wills {
		kept[i] = newKeptWill(w)
	}
	sequence, err := s.carryOut(ctx, r, kept)
	if err != nil || sequence == 0 {
		return err
	}
	return s.place.await(ctx, sequence)
}

// carryOut makes the writes of wills and empties their record. It returns the last sequence
// of the batch, or 0 if another node has emptied the record already. What a write makes
// comes to this node by the feed, as a write of another node does.
func (s *Store) carryOut(ctx context.Context, r ownRecord, kept []keptWill) (uint64, error) {
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
		last, _, lastErr := s.lastMessage(ctx, r.subject)
		if lastErr != nil {
			return 0, lastErr
		}
		if last > r.sequence {
			return 0, nil // another node has carried them out
		}
		// Otherwise a key was written meanwhile, so its condition is decided anew.
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
	empty, err := recordMessage(r, willRecord{})
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
	position, data, err := s.lastMessage(ctx, subject)
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
	if w.TTL > 0 {
		record.Expires = now.Add(time.Duration(w.TTL) * time.Millisecond)
	}
	m := newMessage()
	return &m.Msg, s.fillCommit(m, p, []keyspace.Record{record})
}
