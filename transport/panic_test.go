package transport_test

import (
	"net/http"
	"testing"

	"rtdb/keyspace"
	"rtdb/transport"
)

// A panic in a key's actor is that key's alone: its writer is told internal, its
// subscribers nothing false, everything else goes on, and so does the key with the
// next write.
func TestAPanicInAKeysActor(t *testing.T) {
	panics := make(chan keyspace.Panic, 10)
	w := newWireOn(t, keyspace.Options{OnPanic: func(p keyspace.Panic) { panics <- p }}, transport.Options{})
	c, other := w.dial(t), w.dial(t)
	for _, p := range []*peer{c, other} {
		p.ask(`{"id":1,"action":"subscribe","keys":["k","l"]}`, `{"id":1,"ok":true,"revision":0}`)
	}
	w.want(t, "POST", "/data/k", `{"value":1}`, http.StatusOK, `"version":1`)
	w.store.hold(func(keyspace.Write) { panic("the store has a bug") })
	w.want(t, "POST", "/data/k", `{"value":2}`, http.StatusInternalServerError, "internal")
	c.want(`{"key":"k","value":1}`)
	c.wantCode(`{"id":2,"action":"set","key":"k","value":3}`, "internal")
	w.want(t, "GET", "/data/k", "", http.StatusOK, `{"key":"k","value":1,"version":1}`)
	w.store.hold(nil)
	w.want(t, "POST", "/data/l", `{"value":4}`, http.StatusOK, `"version":2`)
	w.want(t, "POST", "/data/k", `{"value":5}`, http.StatusOK, `"version":3`)
	other.want(`{"key":"k","value":1}`, `{"key":"l","value":4}`, `{"key":"k","value":5}`)
	for range 2 { // one for each request
		if p := <-panics; p.Target != keyspace.Key("k") || len(p.Stack) == 0 {
			t.Errorf("told of %+v", p)
		}
	}
	if len(panics) != 0 {
		t.Errorf("told of %d more panics", len(panics))
	}
}
