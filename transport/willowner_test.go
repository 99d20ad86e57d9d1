package transport_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/transport"
)

// A willStore notes the owners with which wills were kept, and the last wills.
type willStore struct {
	keyspace.Store

	mu     sync.Mutex
	owners []keyspace.WillOwner
	wills  []keyspace.Will
}

func (s *willStore) KeepWills(_ context.Context, _ string, owner keyspace.WillOwner, wills []keyspace.Will) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owners = append(s.owners, owner)
	s.wills = wills
	return nil
}

func (s *willStore) CarryOutWills(context.Context, string, []keyspace.Will) error { return nil }

// kept returns the owners so far.
func (s *willStore) kept() []keyspace.WillOwner {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.owners)
}

// The wills of a session are those of the client that has said hello, but not before its older
// session has ended, and not after it authenticates as another subject.
func TestTheOwnerOfWills(t *testing.T) {
	store := &willStore{Store: keyspace.NewMemory(1)}
	ks, err := keyspace.Open(keyspace.Options{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan int, 2)
	w := serveKeyspace(t, ks, nil, transport.Options{
		Keys: testKeys(t),
		Takeover: func(context.Context, string, string, time.Time) error {
			asked <- len(store.kept())
			return nil
		},
	})
	as := func(subject string) string {
		return tokenOf(t, subject, `{"read":["#"],"write":["#"]}`, time.Hour)
	}
	p := w.dialAs(t, as("alice"))
	p.wantCode(`{"action":"will","key":"k","value":1,"id":1}`, "")
	p.wantCode(`{"action":"hello","client":"c","id":2}`, "")
	p.wantCode(`{"action":"auth","token":"`+as("alice")+`","id":3}`, "")
	p.wantCode(`{"action":"auth","token":"`+as("bob")+`","id":4}`, "")
	p.wantCode(`{"action":"hello","client":"c","id":5}`, "")
	alice, bob := keyspace.WillOwner{Client: "c", Subject: "subject alice"}, keyspace.WillOwner{Client: "c", Subject: "subject bob"}
	if got, want := store.kept(), []keyspace.WillOwner{{}, alice, {}, bob}; !slices.Equal(got, want) {
		t.Errorf("the wills are kept for %v, want %v", got, want)
	}
	if first, second := <-asked, <-asked; first != 1 || second != 3 {
		t.Errorf("the other nodes are asked after %d and %d records, want 1 and 3", first, second)
	}
}

// A will that is handed to the store again still has the condition that its client set.
func TestTheConditionOfAWillStays(t *testing.T) {
	store := &willStore{Store: keyspace.NewMemory(1)}
	ks, err := keyspace.Open(keyspace.Options{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	w := serveKeyspace(t, ks, nil, transport.Options{})
	p := w.dial(t)
	for i := range 20 {
		p.wantCode(fmt.Sprintf(`{"action":"will","key":"k/%d","value":1,"ifVersion":%d,"id":1}`, i, 1000+i), "")
		p.wantCode(`{"action":"set","key":"other","value":1,"id":2}`, "")
	}
	store.mu.Lock()
	defer store.mu.Unlock()
	if len(store.wills) != 20 {
		t.Errorf("the store has %d wills", len(store.wills))
	}
	for _, will := range store.wills {
		var i uint64
		if _, err := fmt.Sscanf(will.Target.Name, "k/%d", &i); err != nil {
			t.Fatal(err)
		}
		if will.IfVersion == nil {
			t.Errorf("%s has no condition", will.Target.Name)
		} else if *will.IfVersion != 1000+i {
			t.Errorf("%s: the condition is version %d", will.Target.Name, *will.IfVersion)
		}
	}
}
