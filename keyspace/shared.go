package keyspace

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A SharedStore is a [Store] that several keyspaces write to at the same time. It puts all
// writes into one order. A keyspace proposes a write, and the store accepts it if the
// keyspace had applied the key's newest record. So each condition and each merge is decided
// once for all keyspaces.
//
// The rules of Store hold, with these differences. Record.Position says which record of the
// key the keyspace had applied last. If the store has a newer record, Commit passes that
// record, and those before it, to Feed.Apply, and then returns a [ConflictError]. Commit
// returns an error that wraps [ErrUnknownOutcome] if the writes may take effect later. It
// gets at most [MaxSharedRun] writes. It may set Written, because the clocks of several
// machines differ. A touch is committed with the key's value, so that the store may forget
// the key's older records.
type SharedStore interface {
	Store

	// Follow passes the records that other keyspaces commit to f, from the end of Load
	// on. It is called once, when Load has returned, and returns at once. The calls of f
	// end before Close returns.
	Follow(f Feed)

	// Barrier returns when all records that were committed before the call, by any
	// keyspace, have been passed to the Feed. If it cannot know that, it returns an error.
	Barrier(ctx context.Context) error

	// ExpiryDelay returns how long this keyspace waits until it deletes a key that has
	// expired. It is 0 for one of the keyspaces, so that usually only that one deletes the
	// key. It returns at once.
	ExpiryDelay(key string) time.Duration
}

// A Feed receives the records of a SharedStore, in the store's order. Only one goroutine at
// a time calls it. Its methods do not wait for actors or subscribers.
type Feed interface {
	// Apply receives the records of one commit. They have one key, and they belong to the
	// Feed. Records that the keyspace has applied already change nothing.
	Apply(records []Record)

	// Advance says that all records up to a version have been passed to Apply, or were
	// committed by this keyspace. Versions rise from call to call.
	Advance(version uint64)
}

const (
	// MaxSharedRun is the greatest number of writes that one Commit of a SharedStore gets.
	MaxSharedRun = 16

	// maxSharedBytes is the size of a run of values after which no more is added, because
	// the messages of a distributed store are bounded (1 MiB in NATS).
	maxSharedBytes = 256 << 10
)

// A ConflictError means that a SharedStore has a newer record of the key than the keyspace
// had applied. None of the writes takes effect.
type ConflictError struct {
	Position uint64 // of the newest record; 0 if the store has none
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("keyspace: another keyspace has written the key: its newest record is at %d", e.Position)
}

// agree gets a planned run accepted by a shared store. If another keyspace has written the
// key meanwhile, agree applies that write first and plans anew. It returns the number of
// requests that are handled; r.commitErr and r.writes have the result.
//
// An accepted write proves that the state was the newest, and so proves the refusals of its
// run, too. If a run consists of refusals, a barrier proves them.
func (k *key) agree(r *run, requests []*request, planned int) int {
	ks := k.keyspace
	for {
		var conflict *ConflictError
		switch {
		case len(r.writes) > 0:
			if !r.inProgress {
				ks.progress.add(r)
				r.inProgress = true
			}
			position := ks.feed.position(k)
			for i := range r.writes {
				r.writes[i].Position = position
			}
			r.commitErr = k.commit(r.writes)
			if !errors.As(r.commitErr, &conflict) {
				return planned
			}
		case r.proved || !needsProof(requests[:planned]):
			return planned
		default:
			if err := ks.shared.Barrier(ks.lifetime); err != nil {
				r.commitErr = fmt.Errorf("%w: check %q: %w", ErrUnavailable, k.name, err)
				return planned
			}
			r.proved = true
		}
		k.follow()
		if conflict != nil {
			ks.feed.setPosition(k.name, conflict.Position)
		}
		k.withdraw(r)
		planned = k.plan(r, requests)
	}
}

// needsProof reports whether a request was refused because of the key's state, which may not
// be the newest.
func needsProof(requests []*request) bool {
	for _, q := range requests {
		if q.refusal != nil && q.op != opExpire {
			return true
		}
	}
	return false
}

// withdraw takes back the plan of a run.
func (k *key) withdraw(r *run) {
	if r.reserved {
		k.keyspace.quota.release()
		r.reserved = false
	}
	clear(r.writes)
	r.writes, r.bytes, r.commitErr = r.writes[:0], 0, nil
	r.expires = time.Time{}
}

// follow applies the records of other keyspaces that wait for the key.
func (k *key) follow() {
	for {
		r := k.keyspace.feed.next(k.name)
		if r == nil {
			return
		}
		k.followOne(r)
	}
}

// followOne applies the records of one commit, unless they are not newer than the state.
func (k *key) followOne(r *run) {
	defer k.finish(r)
	if last := &r.writes[len(r.writes)-1]; last.Position <= k.keyspace.feed.position(k) {
		clear(r.writes)
		r.writes = r.writes[:0]
		return
	}
	for i := range r.writes { // a touch may bring the value of a write that was missed
		if w := &r.writes[i]; w.Touch && w.Version > k.load().version {
			w.Touch = false
		}
	}
	k.settle(r, nil)
}
