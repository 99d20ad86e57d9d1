package jetstream_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
)

// The storage of NATS is full. Writes get a clear error, and go on when there is room.
func TestTheStorageIsFull(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]natstest.Options{
		"a stream on one server":    {},
		"a stream on three servers": {Servers: 3},
		"a server":                  {Storage: "4MB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := natstest.Start(t, o)
			js := bareStreamOf(t, c)
			settings := jetstream.Config(jetstream.DefaultStream, c.Servers())
			if o.Storage == "" {
				settings.MaxBytes, settings.Discard = 4<<20, natsjs.DiscardNew
			}
			if _, err := js.CreateStream(within(t), settings); err != nil {
				t.Fatal(err)
			}
			makeRoom := func() error {
				settings.MaxBytes *= 2
				_, err := js.UpdateStream(within(t), settings)
				return err
			}
			if o.Storage != "" {
				makeRoom = fillOther(t, js)
			}
			n := start(t, jetstream.Options{URL: c.URL(), Node: "n"})
			full := fill(t, n)
			began := time.Now()
			eventually(t, patience, "a node that says that it is not ready", func() bool { return n.store.Ready() != nil })
			if err := n.store.Ready(); !errors.Is(err, keyspace.ErrInsufficientStorage) {
				t.Errorf("the node is not ready: %v", err)
			}
			after := time.Since(began)
			fill(t, n)
			_, deleteErr := n.Delete(t.Context(), "k/0")
			if e, err := n.Get("k/1"); err != nil || len(e.Value) == 0 {
				t.Errorf("a read: %v, %v", e, err)
			}
			if err := makeRoom(); err != nil {
				t.Fatal(err)
			}
			began = time.Now()
			eventually(t, patience, "a write after there is room", func() bool {
				_, err := n.Set(t.Context(), "more", make([]byte, 100<<10))
				return err == nil
			})
			t.Logf("| the storage of %s is full | %v | not ready after %.1f s | a delete gets: %v | writes went on %.1f s after there was room |",
				name, full, after.Seconds(), deleteErr, time.Since(began).Seconds())
			if err := start(t, jetstream.Options{URL: c.URL(), Node: "fresh"}).store.Ready(); err != nil {
				t.Error(err)
			}
		})
	}
}

// fill writes until not even a small value has room, and returns the last error. Each error
// must say why.
func fill(t *testing.T, n node) (full error) {
	t.Helper()
	written := 0
	for size := 100 << 10; size > 0; size /= 10 {
		for {
			_, err := n.Set(t.Context(), fmt.Sprintf("k/%d", written), make([]byte, size))
			if err != nil {
				full = err
				break
			}
			written++
		}
		if !errors.Is(full, keyspace.ErrInsufficientStorage) || !errors.Is(full, keyspace.ErrUnavailable) {
			t.Errorf("a write without room: %v", full)
		}
	}
	return full
}

// fillOther makes another stream that takes half of a server's storage. remove deletes it.
func fillOther(t *testing.T, js natsjs.JetStream) (remove func() error) {
	t.Helper()
	if _, err := js.CreateStream(within(t), natsjs.StreamConfig{Name: "other", Subjects: []string{"other"}}); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := js.Publish(within(t), "other", make([]byte, 100<<10)); err != nil {
			t.Fatal(err)
		}
	}
	return func() error { return js.DeleteStream(within(t), "other") }
}
