package keyspace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A SharedStore is a [Store] that several keyspaces write to at the same time. It puts all
// writes into one order. A keyspace proposes a write, and the store accepts it if the
// keyspace had applied the key's newest record. So each condition and each merge is decided
// once for all keyspaces.
//
// The rules of Store hold, with these differences. Record.Position says which record of the
// key the keyspace had applied last. If the store has a newer record, Commit passes all
// records up to that one to Feed.Apply, and then returns a [ConflictError]. If the store has
// forgotten the key, Commit first passes all records that the store has. Commit returns an
// error that wraps [ErrUnknownOutcome] if the writes may take effect later; if they do, they
// are passed to the Feed, although this keyspace made them. Commit gets at most
// [MaxSharedRun] writes. It may set Written, because the clocks of several machines differ. A
// touch is committed with the key's value, so that the store may forget the key's older
// records. The records that Load passes to State.Apply have a Position, too.
type SharedStore interface {
	Store

	// Follow passes the records that other keyspaces commit to f: all those that Load has
	// not applied. It is called once, when Load has returned, and returns at once. The
	// calls of f end before Close returns.
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
	// Apply receives the records of one commit. They have one key, with a valid name, and
	// a Position. The slice may be used again after the call. Records that the keyspace has
	// applied already change nothing, so a store may pass all records.
	Apply(records []Record)

	// Advance says that each record up to a version has been passed to Apply, or belongs to
	// a Commit of this keyspace that has returned nil or will return nil. A store that was
	// behind may leave out a record if a newer one of the key follows. Versions rise from
	// call to call. The keyspace's revision rises with them, so Advance is called for the
	// commits of this keyspace, too.
	Advance(version uint64)

	// Repair says that something else has taken the place of the key's newest record in the
	// store. If the key has a value, the keyspace commits it again, as a touch.
	Repair(key string)
}

const (
	// MaxSharedRun is the greatest number of writes that one Commit of a SharedStore gets.
	MaxSharedRun = 16

	// maxSharedBytes is the greatest size of the values of one run. A larger value is in a
	// run of its own. The messages of a distributed store are bounded (1 MiB in NATS).
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
	for {
		again := false
		switch {
		case len(r.writes) > 0:
			again = k.propose(r)
		case !r.proved && needsProof(requests[:planned]):
			again = k.prove(r)
		}
		if !again {
			return planned
		}
		k.withdraw(r)
		planned = k.plan(r, requests)
	}
}

// propose commits a run. If there is a conflict, it applies the records that the key lacks,
// and reports that the run must be planned anew.
func (k *key) propose(r *run) (again bool) {
	f := k.keyspace.feed
	if !r.inProgress {
		k.keyspace.progress.add(r)
		r.inProgress = true
	}
	before := f.position(k)
	for i := range r.writes {
		r.writes[i].Position = before
	}
	r.commitErr = k.commit(r.writes)
	var conflict *ConflictError
	if !errors.As(r.commitErr, &conflict) {
		return false
	}
	k.follow()
	switch now := f.position(k); {
	case now == before && now == conflict.Position:
		return false // the store contradicts itself, and would do so again
	case now == before, now < conflict.Position: // the newest record means nothing to this keyspace, or is gone
		f.setPosition(k.name, conflict.Position)
	}
	return true
}

// prove makes sure that the key's state is the newest. It reports whether it did.
func (k *key) prove(r *run) (again bool) {
	if err := k.keyspace.shared.Barrier(k.keyspace.lifetime); err != nil {
		r.commitErr = fmt.Errorf("%w: check %q: %w", ErrUnavailable, k.name, err)
		return false
	}
	r.proved = true
	k.follow()
	return true
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
	r.writes, r.bytes, r.full, r.commitErr = r.writes[:0], 0, false, nil
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

// followOne applies those records of one commit that are newer than the state.
func (k *key) followOne(r *run) {
	defer k.finish(r)
	if !k.selectNew(r) {
		clear(r.writes)
		r.writes = r.writes[:0]
		return
	}
	k.settle(r, nil)
}

// selectNew removes the records of a commit that are not newer than the key's state. It
// reports whether some are left.
func (k *key) selectNew(r *run) bool {
	f, now, last := k.keyspace.feed, k.load(), r.writes[len(r.writes)-1]
	switch {
	case last.Position <= f.position(k):
		return false
	case now.version == 0 && last.Value == nil && last.Position <= r.bound:
		return false // the record has come before: it is a delete whose tombstone was forgotten
	}
	r.writes = slices.DeleteFunc(r.writes, func(w Record) bool {
		return w.Version < now.version || w.Version == now.version && !w.Touch
	})
	if len(r.writes) == 0 {
		f.setPosition(k.name, last.Position)
		return false
	}
	if w := &r.writes[0]; w.Touch && w.Version > now.version {
		w.Touch = false // it brings the value of a write that was missed
	}
	return true
}

// remember makes sure that a delete whose actor panicked has a tombstone. Otherwise the
// record of the delete would change something if it came again.
func (k *key) remember() {
	now := k.load()
	if now.value != nil || now.version == 0 {
		return
	}
	if t, ok := k.keyspace.tombstones.find(k.name); !ok || t.version < now.version {
		k.keyspace.tombstones.add(tombstone{name: k.name, version: now.version, written: now.written})
	}
}
