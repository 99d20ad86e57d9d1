package transport_test

import (
	"net"
	"os"
	"testing"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
	"rtdb/transport"
)

// BenchmarkNodesFanout measures the CPU that a node of several takes for a delivery, compared
// with a single server that keeps everything in memory: 1000 writes a second of one key, each
// to 1000 sockets. The writes are made on the node itself, or on another node.
func BenchmarkNodesFanout(b *testing.B) {
	for _, at := range []string{"own", "other"} {
		b.Run("writes="+at, func(b *testing.B) {
			c := natstest.Start(b, natstest.Options{Servers: 1, Lazy: true})
			node := &side{name: "node", server: startChildIn(b, "node", c.URL()), say: webSocketSpeaker{}}
			if at == "other" {
				node.publishAt = startChildIn(b, "node", c.URL()).address
			}
			b.Cleanup(func() { node.disconnect(b) }) // before the server ends
			compareSides(b, shape{keys: 1, subscribers: 1000, publishers: 8, window: 200, rate: 1000}, node, startSide(b, "rtdb"))
		})
	}
}

// serveNode serves rtdb with the state on a stream of NATS.
func serveNode(l net.Listener) error {
	s, err := jetstream.Open(jetstream.Options{URL: os.Getenv(directoryVariable), Node: "benchmark"})
	if err != nil {
		return err
	}
	ks, err := keyspace.Open(keyspace.Options{Store: s})
	if err != nil {
		return err
	}
	return transport.NewServer(ks, transport.Options{FlushInterval: transport.DefaultFlushInterval}).Serve(l)
}
