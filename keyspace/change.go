package keyspace

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Change is what a write asks for: a value, or what becomes of the one that
// is there, or no value any more.
type Change struct {
	// Value is the new value, not to be changed from then on.
	Value []byte

	// Merge, where it is not nil, makes the new value of the one that is
	// there, nil where there is none; its error refuses the write. The key's
	// actor calls it, so nothing comes between; it must not change what it
	// gets, and should be quick.
	Merge func(old []byte) ([]byte, error)

	// Delete deletes the key.
	Delete bool

	// If, where it is not nil, is asked whether the write may be made at the
	// version that the key has, 0 where it has no value. The key's actor
	// calls it: of two writes that want the same version one is made.
	If func(version uint64) bool

	// TTL is how long the key is kept, unless it is written again; 0 is for
	// ever, but for a Merge: there 0 leaves the time as it is.
	TTL time.Duration
}

// A VersionError refuses a write whose condition does not hold.
type VersionError struct {
	Current uint64 // the version that the key has; 0: it has no value
}

func (e *VersionError) Error() string {
	if e.Current == 0 {
		return "keyspace: condition failed: no such key"
	}
	return fmt.Sprintf("keyspace: condition failed: the key is at version %d", e.Current)
}

var errNoValue = errors.New("keyspace: write without a value")

// Write makes one change, and returns what the key holds by it. Its error is a
// *VersionError where the condition does not hold, and ErrNotFound where there
// was nothing to delete. Where ctx ends before the answer, Write returns its
// cause, and whether the write took effect is not known.
func (ks *Keyspace) Write(ctx context.Context, key string, c Change) (Entry, error) {
	r, err := ks.startWrite(ctx, key, c)
	if err != nil {
		return Entry{}, err
	}
	return ks.wait(ctx, r, key)
}

// wait is for what startWrite has started.
func (ks *Keyspace) wait(ctx context.Context, r *request, key string) (Entry, error) {
	res, err := ks.keys.wait(ctx, r)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Key: key, Value: res.value, Version: res.version}, nil
}

// A KeyedChange is a Change of one key.
type KeyedChange struct {
	Key string
	Change
}

// A Result is what became of a KeyedChange.
type Result struct {
	Entry Entry
	Err   error
}

// WriteAll makes many changes, each on its own as by Write, and returns what
// became of them, in order. Changes of one key are made in order; of several
// keys, at the same time.
func (ks *Keyspace) WriteAll(ctx context.Context, changes []KeyedChange) []Result {
	results := make([]Result, len(changes))
	requests := make([]*request, len(changes))
	for i, c := range changes {
		requests[i], results[i].Err = ks.startWrite(ctx, c.Key, c.Change)
	}
	for i, r := range requests {
		if r != nil {
			results[i].Entry, results[i].Err = ks.wait(ctx, r, changes[i].Key)
		}
	}
	return results
}

func (ks *Keyspace) startWrite(ctx context.Context, key string, c Change) (*request, error) {
	if err := CheckName(key); err != nil {
		return nil, err
	}
	op := opWrite
	switch {
	case c.Delete:
		op = opDelete
	case c.Value == nil && c.Merge == nil:
		return nil, errNoValue
	}
	r, err := ks.keys.start(ctx, key, op != opDelete, task{op: op, change: c})
	if !errors.Is(err, errAbsent) {
		return r, err
	}
	if c.If != nil && !c.If(0) {
		return nil, &VersionError{}
	}
	return nil, ErrNotFound
}

// Set writes a value, which must not be changed from then on, and returns the
// version of the write. It is Write with nothing else to say.
func (ks *Keyspace) Set(ctx context.Context, key string, value []byte) (version uint64, err error) {
	e, err := ks.Write(ctx, key, Change{Value: value})
	return e.Version, err
}

// Delete deletes the key's value and returns the version of that write, or
// ErrNotFound.
func (ks *Keyspace) Delete(ctx context.Context, key string) (version uint64, err error) {
	e, err := ks.Write(ctx, key, Change{Delete: true})
	return e.Version, err
}
