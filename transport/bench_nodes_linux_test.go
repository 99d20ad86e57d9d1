package transport_test

import (
	"net"
	"os"
	"testing"
	"time"

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

// BenchmarkNodes measures three nodes with 5000 sockets each that subscribe to one key, which
// is written 20 times a second, and compares with a single server with 5000 sockets.
func BenchmarkNodes(b *testing.B) {
	const each = 5000
	c := natstest.Start(b, natstest.Options{Servers: 1, Lazy: true})
	nodes := &side{name: "nodes", server: startChildIn(b, "node", c.URL()), say: webSocketSpeaker{}}
	nodes.more = []*child{startChildIn(b, "node", c.URL()), startChildIn(b, "node", c.URL())}
	b.Cleanup(func() { nodes.disconnect(b) }) // before the servers end
	one := startSide(b, "rtdb")
	s := shape{keys: 1, publishers: 1, window: 200, rate: 20}
	rounds, length := 5, 2*time.Second
	if testing.Short() {
		rounds, length, s.rate = 1, 50*time.Millisecond, 200
	}
	for b.Loop() {
		for range rounds {
			for _, x := range []*side{nodes, one} {
				s.subscribers = each * (1 + len(x.more))
				if testing.Short() {
					s.subscribers /= 100
				}
				x.round(b, s, length)
				x.disconnect(b) // all sockets at once may be more than the limit of open files
			}
		}
	}
	for _, x := range []*side{nodes, one} {
		b.ReportMetric(median(x.costs), x.name+"-ns/delivery")
		b.ReportMetric(median(x.rates), x.name+"-deliveries/s")
	}
	b.ReportMetric(median(nodes.costs)/median(one.costs), "x-rtdb")
	b.ReportMetric(0, "ns/op")
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
