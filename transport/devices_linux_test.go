package transport_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/transport"
)

// A device that sends seldom waits for the store, or for the actor of a key. The goroutine that reads
// from it reads from other devices, too, and they do not wait.
func TestADeviceThatWaitsHoldsUpNoOther(t *testing.T) {
	for action, message := range map[string]string{
		"set":         `{"action":"set","key":"k","value":2,"id":1}`,
		"publish":     `{"action":"publish","key":"k","value":2,"id":1}`,
		"patch":       `{"action":"patch","key":"k","value":{"a":2},"id":1}`,
		"delete":      `{"action":"delete","key":"k","id":1}`,
		"touch":       `{"action":"touch","key":"k","ttl":60,"id":1}`,
		"get":         `{"action":"get","key":"k","id":1}`,
		"subscribe":   `{"action":"subscribe","key":"k","snapshot":true,"id":1}`,
		"unsubscribe": `{"action":"unsubscribe","key":"k","id":1}`,
		"will":        `{"action":"will","key":"k","value":3,"id":1}`,
	} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, transport.Options{})
			writer, device, other := w.dial(t), w.dial(t), w.dial(t)
			writer.wantCode(`{"action":"set","key":"k","value":{"a":1},"id":1}`, "")
			device.wantCode(`{"action":"subscribe","key":"other","id":1}`, "")
			if action == "unsubscribe" {
				device.wantCode(`{"action":"subscribe","key":"k","id":1}`, "")
			}
			for range 2 {
				<-time.After(400 * time.Millisecond) // now the devices send seldom
				held, open := w.store.holdKey("k")
				defer open()
				writer.send(`{"action":"set","key":"k","value":{"a":1},"id":1}`)
				<-held
				device.send(message)
				other.wantCode(`{"action":"set","key":"other","value":1,"id":2}`, "")
				open()
				for got := ""; !hasID(got); {
					got = device.receive()
				}
				writer.receive()
			}
		})
	}
}

// The disk may be slow all of a sudden, while the goroutine that reads from many devices commits a
// write of one of them.
func TestASlowDiskHoldsUpNoOtherDevice(t *testing.T) {
	t.Parallel()
	w := newWire(t, transport.Options{})
	w.store.brief.Store(true)
	device, other := w.dial(t), w.dial(t)
	for _, p := range []*peer{device, other} {
		p.wantCode(`{"action":"ping","id":1}`, "")
	}
	for range 2 { // in the second round another goroutine reads
		<-time.After(400 * time.Millisecond) // now the devices send seldom
		held, open := w.store.holdKey("k")
		defer open()
		device.send(`{"action":"set","key":"k","value":1,"id":1}`)
		<-held
		device.send(`{"action":"ping","id":1}`)
		for i := range 3 {
			other.wantCode(fmt.Sprintf(`{"action":"set","key":"other","value":%d,"id":2}`, i), "")
		}
		open()
		for range 2 {
			if got := device.receive(); !hasID(got) {
				t.Errorf("the device got %s", got)
			}
		}
	}
}

// holdKey holds the commits of a key back until open is called. held gets one for each.
func (s *gatedStore) holdKey(key string) (held <-chan struct{}, open func()) {
	begun, gate := make(chan struct{}, 9), make(chan struct{})
	s.hold(func(r keyspace.Record) {
		if r.Key == key {
			begun <- struct{}{}
			<-gate
		}
	})
	return begun, sync.OnceFunc(func() { close(gate) })
}

// hasID reports whether a message is the reply to a request with the id 1.
func hasID(message string) bool {
	var id int
	_, err := fmt.Sscanf(message, `{"id":%d,`, &id)
	return err == nil && id == 1
}
