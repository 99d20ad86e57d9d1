package transport_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"rtdb/keyspace"
	"rtdb/transport"
)

// A client sends writes of a key with few or many subscribers at once, and then something else.
// Whatever that is, every subscriber gets all writes.
func TestWhateverFollowsABurstOfWritesNobodyWaits(t *testing.T) {
	write := func(key string, value int) string {
		return fmt.Sprintf(`{"action":"set","key":%q,"value":%d}`, key, value)
	}
	for what, after := range map[string]string{
		"nothing":                      "",
		"a write of the key":           frame(write("k", 3)),
		"a write of another key":       frame(write("other", 3)),
		"a read":                       frame(`{"action":"get","key":"k","id":1}`),
		"a subscription":               frame(`{"action":"subscribe","key":"k","id":1}`),
		"no JSON":                      frame(`{`),
		"no JSON, for ever":            strings.Repeat(frame(`{`), 5000),
		"a write that is refused":      frame(`{"action":"set","key":"k","value":1,"if_version":99}`),
		"a write without a value":      frame(`{"action":"set","key":"k"}`),
		"a part of a message":          frame(write("k", 3))[:9],
		"a message that is not UTF-8":  frame("\"\xff\""),
		"a message that is too big":    frame(`{"action":"set","key":"k","value":"` + strings.Repeat("x", 60_000) + `"}`),
		"a ping":                       "\x89\x80\x00\x00\x00\x00",
		"a close frame":                "\x88\x80\x00\x00\x00\x00",
		"a frame that is not masked":   "\x81\x02{}",
		"a message in two frames":      "\x01\x81\x00\x00\x00\x00{\x80\x81\x00\x00\x00\x00}",
		"a long message of another":    frame(`{"action":"publish","topic":"t","value":"` + strings.Repeat("x", 30_000) + `"}`),
		"touches, for ever":            strings.Repeat(frame(`{"action":"touch","key":"k","ttl":60}`), 5000),
		"many writes of the key":       strings.Repeat(frame(write("k", 3)), 500),
		"writes of the key and others": strings.Repeat(frame(write("k", 3))+frame(write("other", 3)), 300),
	} {
		forFewAndMany(t, what, func(t *testing.T, w *wire, subscribers []*peer) {
			rawWrite(w.dial(t), frame(write("k", 1))+frame(write("k", 2))+frame(write("k", 3))+after)
			for _, p := range subscribers {
				for !strings.Contains(p.receive(), `"value":3`) {
				}
			}
		})
	}
}

// A client does not stop sending after its writes.
func TestABurstEndsWhileTheClientGoesOn(t *testing.T) {
	for what, text := range map[string]string{
		"writes of another key": `{"action":"set","key":"other","value":4}`,
		"messages of a topic":   `{"action":"publish","topic":"k","value":4}`,
		"no JSON":               `{`,
		"touches":               `{"action":"touch","key":"k","ttl":60}`,
	} {
		forFewAndMany(t, what, func(t *testing.T, w *wire, subscribers []*peer) {
			publisher := w.dial(t)
			rawWrite(publisher, frame(`{"action":"set","key":"k","value":2}`)+frame(`{"action":"set","key":"k","value":3}`)+strings.Repeat(frame(text), 100))
			stop := make(chan struct{})
			var flooding sync.WaitGroup
			flooding.Go(func() { flood(publisher.NetConn(), []byte(frame(text)), stop) })
			for _, p := range subscribers {
				for !strings.Contains(p.receive(), `"value":3`) {
				}
			}
			close(stop)
			_ = publisher.NetConn().Close()
			flooding.Wait()
		})
	}
}

// forFewAndMany starts servers whose writes do not wait for a store, and subscribes a few clients
// to the key k, and so many that they are a crowd.
func forFewAndMany(t *testing.T, name string, test func(t *testing.T, w *wire, subscribers []*peer)) {
	for _, n := range []int{3, 130} {
		t.Run(fmt.Sprintf("%s/subscribers=%d", name, n), func(t *testing.T) {
			ks := must(keyspace.Open(keyspace.Options{}))
			w := serveKeyspace(t, ks, nil, transport.Options{FlushInterval: transport.DefaultFlushInterval, MaxValueBytes: 40_000})
			var subscribers []*peer
			for range n {
				p := w.dial(t)
				p.send(`{"action":"subscribe","key":"k","id":1}`)
				p.receive()
				subscribers = append(subscribers, p)
			}
			test(t, w, subscribers)
		})
	}
}

// frame returns the frame of a client's text message.
func frame(text string) string { return string(clientFrame(bytes.Clone([]byte(text)))) }
