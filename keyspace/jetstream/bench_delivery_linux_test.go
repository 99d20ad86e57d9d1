package jetstream_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
)

// BenchmarkDelivery measures the time from a write on one node until a subscriber on another
// node receives it, at 1000 writes a second to 100 keys. It compares with an ordered consumer
// of nats.go, which reads the messages that nats.go publishes on another connection.
func BenchmarkDelivery(b *testing.B) {
	for _, servers := range []int{1, 3} {
		b.Run(fmt.Sprintf("servers=%d", servers), func(b *testing.B) {
			rounds, length := 7, 2*time.Second
			if testing.Short() {
				rounds, length = 1, 50*time.Millisecond
			}
			c := natstest.Start(b, natstest.Options{Servers: servers})
			from, to, bare := openNode(b, c), openNode(b, c), newBare(b, c)
			bare.lead(b, c, bareStream)
			bare.lead(b, c, jetstream.DefaultStream)
			rtdb := &deliverySide{write: keyspaceWriter(from)}
			if err := to.Subscribe(b.Context(), keyspace.Pattern("device/+/state"), rtdb, keyspace.Start{}); err != nil {
				b.Fatal(err)
			}
			consumer := &deliverySide{write: bare.writer(false)}
			_, js := connectBare(b, c)
			consumer.consume(b, js)
			for b.Loop() {
				for range rounds {
					rtdb.round(b, 100, 1000, length)
					consumer.round(b, 100, 1000, length)
				}
			}
			b.ReportMetric(median(rtdb.p50s), "rtdb-p50-ms")
			b.ReportMetric(median(rtdb.p99s), "rtdb-p99-ms")
			b.ReportMetric(median(consumer.p50s), "bare-p50-ms")
			b.ReportMetric(median(consumer.p99s), "bare-p99-ms")
			b.ReportMetric(medianRatio(rtdb.p50s, consumer.p50s), "x-p50")
			b.ReportMetric(medianRatio(rtdb.p99s, consumer.p99s), "x-p99")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// A deliverySide is one of the sides whose deliveries are timed.
type deliverySide struct {
	write benchWriter

	mu   sync.Mutex
	took []time.Duration

	p50s, p99s []float64 // of each round, in ms
}

var benchBegan = time.Now()

// stamp returns a value that begins with the time.
func stamp() []byte {
	value := slices.Clone(benchValue)
	binary.BigEndian.PutUint64(value, uint64(time.Since(benchBegan)))
	return value
}

// Deliver implements [keyspace.Subscriber].
func (x *deliverySide) Deliver(u *keyspace.Update) { x.receive(u.Value) }

func (x *deliverySide) receive(value []byte) {
	took := time.Since(benchBegan) - time.Duration(binary.BigEndian.Uint64(value))
	x.mu.Lock()
	defer x.mu.Unlock()
	x.took = append(x.took, took)
}

// round writes the keys in turn at a rate, and times the deliveries.
func (x *deliverySide) round(b *testing.B, keys, rate int, length time.Duration) {
	b.Helper()
	x.mu.Lock()
	x.took = nil
	x.mu.Unlock()
	writes := x.pace(b, keys, rate, length)
	if !poll(10*time.Second, func() bool { return x.received() >= writes }) {
		b.Fatalf("%d of %d writes were delivered", x.received(), writes)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	slices.Sort(x.took)
	x.p50s = append(x.p50s, x.took[len(x.took)/2].Seconds()*1e3)
	x.p99s = append(x.p99s, x.took[len(x.took)*99/100].Seconds()*1e3)
}

// pace writes the keys in turn at a rate. It returns their number when all are answered.
func (x *deliverySide) pace(b *testing.B, keys, rate int, length time.Duration) (writes int) {
	b.Helper()
	writes = int(length.Seconds() * float64(rate))
	var running sync.WaitGroup
	began := time.Now()
	turns := make([]sync.Mutex, keys) // a key's writes do not overlap
	for i := range writes {
		<-time.After(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(rate))))
		running.Go(func() {
			turns[i%keys].Lock()
			defer turns[i%keys].Unlock()
			if err := x.write(b.Context(), benchKey(i%keys), stamp()); err != nil {
				b.Errorf("write: %v", err)
			}
		})
	}
	running.Wait()
	return writes
}

func (x *deliverySide) received() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.took)
}

// consume receives the messages of a stream by an ordered consumer.
func (x *deliverySide) consume(b *testing.B, js natsjs.JetStream) {
	b.Helper()
	c, err := js.OrderedConsumer(b.Context(), bareStream, natsjs.OrderedConsumerConfig{DeliverPolicy: natsjs.DeliverNewPolicy})
	if err != nil {
		b.Fatal(err)
	}
	consuming, err := c.Consume(func(m natsjs.Msg) { x.receive(m.Data()) })
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		consuming.Stop()
		<-consuming.Closed()
	})
}
