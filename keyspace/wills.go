package keyspace

import (
	"context"
	"errors"
	"time"
)

// A Will is a write that a shared store keeps for a session. If the session's server dies,
// another server makes the write. It does not check the client's rights again: they were
// valid when the server died.
type Will struct {
	Target    Target        // a key or a topic
	Value     []byte        // nil: the key is deleted
	IfVersion *uint64       // the key's version that the write needs, 0 if it must have no value; nil: any
	TTL       time.Duration // the time to live that the key gets; 0: none
}

// A WillOwner is the client whose session has wills: the name that it has said in its hello, and
// the subject of its token. The zero WillOwner is a client without a name.
type WillOwner struct{ Client, Subject string }

// ErrTooManyWills means that a WillStore has no space for all wills of a session.
var ErrTooManyWills = errors.New("keyspace: the wills of the session are too many or too large")

// A WillStore is a [SharedStore] that keeps the wills of sessions, so that they survive the
// server.
type WillStore interface {
	// KeepWills keeps the wills of a session, in place of those that it kept before. When it
	// returns nil, they survive this server. If wills is empty, the session needs none. It
	// returns an error that wraps ErrTooManyWills if they can never be kept. session is a
	// name without a meaning, of ASCII letters and digits. If the owner has a name, its next
	// session on another server may carry out the wills when this server does not answer.
	KeepWills(ctx context.Context, session string, owner WillOwner, wills []Will) error

	// CarryOutWills makes the writes of the given wills of a session, and keeps none of the
	// session's wills any more. A will whose condition does not hold, or that has nothing
	// to delete, does nothing. If another server has carried out the session's wills
	// already, CarryOutWills does nothing. It returns when the Feed has brought the writes. If
	// it returns an error, the store goes on to try.
	CarryOutWills(ctx context.Context, session string, wills []Will) error
}

// Wills returns the store if it keeps wills, else nil.
func (ks *Keyspace) Wills() WillStore {
	w, _ := ks.store.(WillStore)
	return w
}
