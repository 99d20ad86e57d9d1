package session_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"rtdb/keyspace"
	"rtdb/keyspace/storetest"
	"rtdb/session"
)

// A willStore notes the owners with which the wills of a session were kept.
type willStore struct {
	keyspace.SharedStore
	owners []keyspace.WillOwner
	fail   error // of KeepWills
}

func (s *willStore) KeepWills(_ context.Context, _ string, owner keyspace.WillOwner, _ []keyspace.Will) error {
	if s.fail == nil {
		s.owners = append(s.owners, owner)
	}
	return s.fail
}

func (s *willStore) CarryOutWills(context.Context, string, []keyspace.Will) error { return nil }

// A store that keeps wills is told their owner, whether the session has its name or its wills
// first.
func TestTheOwnerOfWills(t *testing.T) {
	nobody, first, second := keyspace.WillOwner{}, keyspace.WillOwner{Client: "c", Subject: "1"}, keyspace.WillOwner{Client: "c", Subject: "2"}
	unavailable := errors.New("unavailable")
	for name, test := range map[string]struct {
		does func(t *testing.T, s fixture, store *willStore)
		want []keyspace.WillOwner
	}{
		"a name and no wills": {func(t *testing.T, s fixture, _ *willStore) {
			s.name(t, first, nil)
		}, nil},
		"the name first": {func(t *testing.T, s fixture, _ *willStore) {
			s.name(t, first, nil)
			s.setWill(t, keyspace.Key("k"), "1")
		}, []keyspace.WillOwner{first}},
		"the will first": {func(t *testing.T, s fixture, _ *willStore) {
			s.setWill(t, keyspace.Key("k"), "1")
			s.name(t, first, nil)
			s.name(t, first, nil) // it is known
			s.name(t, second, nil)
		}, []keyspace.WillOwner{nobody, first, second}},
		"the will is withdrawn": {func(t *testing.T, s fixture, _ *willStore) {
			s.setWill(t, keyspace.Key("k"), "1")
			s.setWill(t, keyspace.Key("k"), "")
			s.name(t, first, nil)
		}, []keyspace.WillOwner{nobody, nobody}},
		"the store fails": {func(t *testing.T, s fixture, store *willStore) {
			s.setWill(t, keyspace.Key("k"), "1")
			store.fail = unavailable
			s.name(t, first, unavailable)
			store.fail = nil
			s.name(t, first, nil)
		}, []keyspace.WillOwner{nobody, first}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &willStore{SharedStore: storetest.NewHub(storetest.HubOptions{}).Open()}
				ks, err := keyspace.Open(keyspace.Options{Store: store})
				if err != nil {
					t.Fatal(err)
				}
				f := fixture{Session: session.New(ks, new(fakeConn), session.Options{Encoder: encoder}), ks: ks}
				test.does(t, f, store)
				f.end(t, nil)
				if err := ks.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				if !slices.Equal(store.owners, test.want) {
					t.Errorf("wills are kept for %v, want %v", store.owners, test.want)
				}
			})
		})
	}
}

func (f fixture) name(t *testing.T, owner keyspace.WillOwner, want error) {
	t.Helper()
	if err := f.Name(t.Context(), owner); !errors.Is(err, want) {
		t.Errorf("Name(%v): %v, want %v", owner, err, want)
	}
}
