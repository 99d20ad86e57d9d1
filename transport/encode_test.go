package transport_test

import (
	"testing"

	"rtdb/transport"
)

func TestUpdatesHaveVersionsIfTheClientWantsThem(t *testing.T) {
	w := newWire(t, transport.Options{})
	versioned, other, plain := w.dialVersioned(t, "other", "rtdb.v1"), w.dialVersioned(t, "rtdb.v2"), w.dial(t)
	if versioned.Subprotocol() != "rtdb.v1" || other.Subprotocol() != "" {
		t.Errorf("subprotocols %q and %q", versioned.Subprotocol(), other.Subprotocol())
	}
	w.want(t, "POST", "/data/k", `{"value":1}`, 200, "")
	w.settle()
	for _, p := range []*peer{versioned, other, plain} {
		p.send(`{"action":"subscribe","pattern":"#","snapshot":true}`)
		p.send(`{"action":"subscribe","topic":"t","id":1}`)
	}
	versioned.want(`{"key":"k","value":1,"version":1,"at":1000}`)
	other.want(`{"key":"k","value":1}`)
	plain.want(`{"key":"k","value":1}`)
	for _, p := range []*peer{versioned, other, plain} {
		p.want(`{"synced":true,"revision":1,"epoch":"e"}`, `{"id":1,"ok":true,"revision":1,"epoch":"e"}`)
	}
	versioned.ask(`{"action":"ping","id":2}`, `{"id":2,"ok":true,"action":"pong","revision":1,"epoch":"e"}`)
	versioned.ask(`{"action":"ping"}`, `{"action":"pong","revision":1,"epoch":"e"}`)
	plain.ask(`{"action":"ping"}`, `{"action":"pong"}`)
	plain.send(`{"action":"delete","key":"k"}`)
	versioned.want(`{"key":"k","value":null,"deleted":true,"version":2,"at":2000}`)
	other.want(`{"key":"k","value":null,"deleted":true}`)
	plain.want(`{"key":"k","value":null,"deleted":true}`)
	plain.send(`{"action":"publish","topic":"t","value":1}`)
	for _, p := range []*peer{versioned, other, plain} {
		p.want(`{"topic":"t","value":1}`)
	}
}
