package keyspace

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Change describes a write to a key: it sets a value, merges into the value,
// deletes the key, or touches it.
type Change struct {
	// Value is the new value: opaque bytes that are not nil. The caller must
	// not change them afterwards.
	Value []byte

	// Merge, if it is not nil, makes the new value from the old one. old is nil
	// if the key has no value. If Merge returns an error, the write is refused
	// with that error. The key's actor calls Merge, so no other write comes
	// between. Merge must not change old, and should be quick. It is called again if
	// another keyspace writes the key first.
	Merge func(old []byte) ([]byte, error)

	// Delete deletes the key.
	Delete bool

	// Touch sets only the time to live. The value and the version stay, and no
	// subscriber is told.
	Touch bool

	// If, if it is not nil, reports whether the write may be made. It gets the
	// key's version, or 0 if the key has no value. The key's actor calls it, so
	// of two writes that require the same version only one is made.
	If func(version uint64) bool

	// TTL is the time to live: the key expires after it, unless the key is
	// written or touched before. 0 means that the key never expires. A Merge
	// with TTL 0 keeps the key's time to live.
	TTL time.Duration

	// Burst, if it is not nil, is the burst of the same client's writes that this one belongs to.
	Burst *Burst

	// Waiter, if it is not nil, is told before the caller has to wait.
	Waiter Waiter
}

// A Waiter is a goroutine that others wait for.
type Waiter interface {
	// Detach is called on that goroutine before it waits for another one, such as that of a key's
	// actor. It may be called more than once.
	Detach()

	// Pause is called on that goroutine before it does what takes a fraction of a millisecond as a
	// rule, and can take long: a commit of a [BriefStore]. Resume is called after it.
	Pause()
	Resume()
}

// A VersionError means that a write was refused because its condition does not
// hold.
type VersionError struct {
	Current uint64 // the key's version; 0 if the key has no value
}

func (e *VersionError) Error() string {
	if e.Current == 0 {
		return "keyspace: condition failed: no such key"
	}
	return fmt.Sprintf("keyspace: condition failed: the key is at version %d", e.Current)
}

var errNoValue = errors.New("keyspace: write without a value")

// Write changes a key and returns the key's value and version after the write. It
// returns a *VersionError if the condition does not hold, and ErrNotFound if there
// is nothing to delete or to touch. If ctx ends before the answer, Write returns the cause of
// ctx; it is then not known whether the write took effect. Write does not watch ctx during a commit
// of a [BriefStore].
func (ks *Keyspace) Write(ctx context.Context, key string, c Change) (Entry, error) {
	r, err := ks.submitWrite(ctx, key, c)
	if err != nil {
		return Entry{}, err
	}
	return ks.waitWrite(ctx, r, key)
}

// A KeyedChange is a Change of one key.
type KeyedChange struct {
	Key string
	Change
}

// A Result is the outcome of a KeyedChange.
type Result struct {
	Entry Entry
	Err   error
}

// WriteAll makes each of the changes as Write does, and returns the results in the
// same order. Each change succeeds or fails on its own. Changes of one key are made
// in order. Changes of different keys are made concurrently.
func (ks *Keyspace) WriteAll(ctx context.Context, changes []KeyedChange) []Result {
	results := make([]Result, len(changes))
	requests := make([]*request, len(changes))
	var b Burst
	for i, c := range changes {
		b.Begin()
		c.Burst = &b
		requests[i], results[i].Err = ks.submitWrite(ctx, c.Key, c.Change)
	}
	b.End()
	for i, r := range requests {
		if r != nil {
			results[i].Entry, results[i].Err = ks.waitWrite(ctx, r, changes[i].Key)
		}
	}
	return results
}

// submitWrite sends the change to the key's actor. waitWrite must follow.
func (ks *Keyspace) submitWrite(ctx context.Context, key string, c Change) (*request, error) {
	if err := CheckName(key); err != nil {
		return nil, err
	}
	op := opWrite
	switch {
	case c.Delete:
		op = opDelete
	case c.Touch:
		op = opTouch
	case c.Value == nil && c.Merge == nil:
		return nil, errNoValue
	}
	// A keyspace with a shared store may not know the key yet, so it asks the store.
	spawn := op == opWrite || ks.shared != nil
	burst, turn := c.Burst.of()
	r, err := ks.keys.submit(ctx, key, spawn, task{op: op, change: c, burst: burst, turn: turn})
	if !errors.Is(err, errAbsent) {
		return r, err
	}
	if c.If != nil && !c.If(0) {
		return nil, &VersionError{}
	}
	return nil, ErrNotFound
}

// waitWrite waits for the result of a request that submitWrite sent.
func (ks *Keyspace) waitWrite(ctx context.Context, r *request, key string) (Entry, error) {
	res, err := ks.keys.wait(ctx, r)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Key: key, Value: res.value, Version: res.version, Written: res.written, TTL: timeToLive(res.expires)}, nil
}

// Set writes a value and returns the version of the write. It is Write with a
// Change that has only this Value. The caller must not change the value afterwards.
func (ks *Keyspace) Set(ctx context.Context, key string, value []byte) (version uint64, err error) {
	e, err := ks.Write(ctx, key, Change{Value: value})
	return e.Version, err
}

// Delete deletes the key's value and returns the version of the delete, or
// ErrNotFound.
func (ks *Keyspace) Delete(ctx context.Context, key string) (version uint64, err error) {
	e, err := ks.Write(ctx, key, Change{Delete: true})
	return e.Version, err
}
