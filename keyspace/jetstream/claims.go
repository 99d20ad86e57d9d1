package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"rtdb/keyspace"
)

// claimTimeout bounds the time to carry out the wills that a client has on silent nodes.
const claimTimeout = 1500 * time.Millisecond

// claims are the reads of the records of silent nodes. When a node dies, all its clients come to
// the others at the same time. So those that wait share one read of all its records, or a node
// with 10,000 sessions would have its records read 10,000 times.
type claims struct {
	mu      sync.Mutex
	reading map[instance]*claimedEstate
}

// A claimedEstate has the records of a node by their owners. Those without an owner are not in it.
type claimedEstate struct {
	began   time.Time
	done    chan struct{} // closed when the fields below are set
	records map[keyspace.WillOwner][]stored
	err     error
}

// claim carries out the wills of a client's sessions on nodes that do not answer. If such a node
// is alive nevertheless, its session finds its record empty when it ends, and writes nothing.
// claim returns when the feed has brought the writes.
func (s *Store) claim(ctx context.Context, owner keyspace.WillOwner, silent []instance) error {
	if owner.Client == "" || len(silent) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	var failed error
	var last uint64
	for _, id := range silent {
		estate, err := s.readClaimed(ctx, id)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		for i := range estate.records[owner] {
			sequence, err := s.carryOutRecord(ctx, &estate.records[owner][i])
			failed, last = errors.Join(failed, err), max(last, sequence)
		}
	}
	if last != 0 {
		failed = errors.Join(failed, s.place.await(ctx, last))
	}
	if failed != nil {
		return fmt.Errorf("jetstream: write the wills that the client has on nodes that do not answer: %w", failed)
	}
	return nil
}

// readClaimed returns the records of a node, by a read that began after the call.
func (s *Store) readClaimed(ctx context.Context, of instance) (*claimedEstate, error) {
	for called := time.Now(); ; {
		e, err := s.beginReading(of)
		if err != nil {
			return nil, err
		}
		select {
		case <-e.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if !e.began.Before(called) {
			return e, e.err
		}
	}
}

// beginReading returns the read of a node's records that goes on, or else begins one.
func (s *Store) beginReading(of instance) (*claimedEstate, error) {
	c := &s.claims
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.reading[of]; e != nil {
		return e, nil
	}
	e := &claimedEstate{began: time.Now(), done: make(chan struct{}), records: map[keyspace.WillOwner][]stored{}}
	if !s.start(func() {
		e.err = s.readEstate(of, e.add)
		c.mu.Lock()
		delete(c.reading, of)
		c.mu.Unlock()
		close(e.done)
	}) {
		return nil, ErrClosed
	}
	if c.reading == nil {
		c.reading = map[instance]*claimedEstate{}
	}
	c.reading[of] = e
	return e, nil
}

func (e *claimedEstate) add(x stored) {
	if r, ok := decodeRecord(x.data); ok && r.Client != "" && len(r.Wills) > 0 {
		owner := keyspace.WillOwner{Client: r.Client, Subject: r.Subject}
		e.records[owner] = append(e.records[owner], x)
	}
}
