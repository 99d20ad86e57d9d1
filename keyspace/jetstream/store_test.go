package jetstream_test

import (
	"testing"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
)

// open opens a keyspace on the stream of a cluster.
func open(t *testing.T, url string) *keyspace.Keyspace {
	t.Helper()
	s, err := jetstream.Open(jetstream.Options{URL: url, Node: "n"})
	if err != nil {
		t.Fatal(err)
	}
	ks, err := keyspace.Open(keyspace.Options{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ks.Shutdown(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return ks
}

// A write on one node is there on the other one, and on one that starts later.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{Servers: 1})
	a, b := open(t, c.URL()), open(t, c.URL())
	const key = "x/ä y"
	for i := range 20 {
		node := []*keyspace.Keyspace{a, b}[i%2]
		e, err := node.Write(t.Context(), key, keyspace.Change{Merge: func(old []byte) ([]byte, error) {
			return append(old[:len(old):len(old)], 'x'), nil
		}})
		if err != nil || len(e.Value) != i+1 {
			t.Fatalf("merge %d made %q, %v", i, e.Value, err)
		}
	}
	e, err := open(t, c.URL()).Get(key)
	if want, _ := a.Get(key); err != nil || len(e.Value) != 20 || e.Version != want.Version || e.Written != want.Written {
		t.Errorf("a new node has %v, %v, want %v", e, err, want)
	}
}
