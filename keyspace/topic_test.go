package keyspace_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"rtdb/keyspace"
)

func TestTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := open(t, keyspace.Options{})
		ctx := t.Context()
		var a, b, key inbox
		if err := ks.Publish(ctx, "chat", []byte(`"no subscriber yet"`)); err != nil {
			t.Fatal(err)
		}
		for _, in := range []*inbox{&a, &a, &b} {
			if err := ks.Subscribe(ctx, keyspace.Topic("chat"), in, keyspace.Start{}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := subscribe(ks, ctx, "chat", &key); err != nil { // another name space
			t.Fatal(err)
		}
		if err := ks.Publish(ctx, "chat", []byte(`"hello"`)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := ks.Unsubscribe(ctx, keyspace.Topic("chat"), &a); err != nil {
			t.Fatal(err)
		}
		if err := ks.Publish(ctx, "chat", []byte(`2`)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantMessages(t, &a, `{"topic":"chat","value":"hello"}`)
		wantMessages(t, &b, `{"topic":"chat","value":"hello"}`, `{"topic":"chat","value":2}`)
		wantMessages(t, &key)
		if _, err := ks.Get("chat"); !errors.Is(err, keyspace.ErrNotFound) {
			t.Errorf("a topic left a value: %v", err)
		}
	})
}
