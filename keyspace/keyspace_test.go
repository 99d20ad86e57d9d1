package keyspace_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"rtdb/keyspace"
)

func TestAWriteIsReadAndDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		ctx := t.Context()
		if _, err := ks.Get("a"); !errors.Is(err, keyspace.ErrNotFound) {
			t.Errorf("Get of nothing: %v, want ErrNotFound", err)
		}
		if _, err := ks.Delete(ctx, "a"); !errors.Is(err, keyspace.ErrNotFound) {
			t.Errorf("Delete of nothing: %v, want ErrNotFound", err)
		}
		if v := mustSet(t, ks, "a", "1"); v != 1 {
			t.Errorf("first version %d, want 1", v)
		}
		var in inbox
		for range 2 { // the second time changes nothing
			if rev, err := subscribe(ks, ctx, "a", &in); err != nil || rev != 1 {
				t.Errorf("Subscribe: revision %d, %v; want 1", rev, err)
			}
		}
		mustSet(t, ks, "b", "0")
		mustSet(t, ks, "a", `{"x":1.50}`)
		e, err := ks.Get("a")
		if err != nil || e.Key != "a" || string(e.Value) != `{"x":1.50}` || e.Version != 3 {
			t.Errorf("Get: %s %v", e.Value, err)
		}
		if v, err := ks.Delete(ctx, "a"); err != nil || v != 4 {
			t.Errorf("Delete: version %d, %v; want 4", v, err)
		}
		if _, err := ks.Get("a"); !errors.Is(err, keyspace.ErrNotFound) {
			t.Errorf("Get after Delete: %v, want ErrNotFound", err)
		}
		if _, err := ks.Delete(ctx, "a"); !errors.Is(err, keyspace.ErrNotFound) {
			t.Errorf("second Delete: %v, want ErrNotFound", err)
		}
		synctest.Wait()
		if err := ks.Unsubscribe(ctx, keyspace.Key("a"), &in); err != nil {
			t.Error(err)
		}
		mustSet(t, ks, "a", "2")
		synctest.Wait()
		wantMessages(t, &in,
			`{"key":"a","value":{"x":1.50}}`,
			`{"key":"a","value":null,"deleted":true}`)
	})
}

func TestNullIsAValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		var in inbox
		if _, err := subscribe(ks, t.Context(), "n", &in); err != nil {
			t.Fatal(err)
		}
		mustSet(t, ks, "n", "null")
		if e, err := ks.Get("n"); err != nil || string(e.Value) != "null" {
			t.Errorf("Get: %q, %v; want null", e.Value, err)
		}
		synctest.Wait()
		wantMessages(t, &in, `{"key":"n","value":null}`)
	})
}

// GetInOrder of a key that comes and goes never contradicts the update that was
// delivered before it.
func TestGetInOrderOfAKeyThatComesAndGoes(t *testing.T) {
	ks := open(t, keyspace.Options{})
	var there atomic.Bool
	s := subscriberFunc(func(u *keyspace.Update) { there.Store(u.Value != nil) })
	if err := ks.Subscribe(t.Context(), keyspace.Pattern("#"), &s, keyspace.Start{}); err != nil {
		t.Fatal(err)
	}
	stop := (&workload{ks: ks, keys: []string{"k"}, written: map[string][]uint64{}}).run(t, 1)
	for range 20_000 {
		err := ks.GetInOrder(t.Context(), "k", func(e keyspace.Entry) {
			if (e.Value != nil) != there.Load() {
				t.Error("a read contradicts the update before it")
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	stop()
}
