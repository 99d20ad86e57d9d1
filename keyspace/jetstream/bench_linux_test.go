package jetstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
)

// These benchmarks compare a keyspace on a stream with bare nats.go on a stream of the same
// settings and the same servers. The sides take turns in one run. A ratio is the median of
// the rounds' ratios.
//
// With -short the benchmarks only show that they still run.

// BenchmarkWrites measures writes of 64 bytes to 1000 keys, each of which has one write in
// flight. "x-bare" compares with nats.go without a condition, "x-checked" with nats.go with
// the condition that rtdb has, too, and "x-heard" with nats.go that also receives the
// messages that the stream publishes again, as each node must.
func BenchmarkWrites(b *testing.B) {
	for _, servers := range []int{1, 3} {
		b.Run(fmt.Sprintf("servers=%d", servers), func(b *testing.B) {
			keys, rounds, length := 1000, 7, time.Second
			if testing.Short() {
				keys, rounds, length = 20, 1, 50*time.Millisecond
			}
			c := natstest.Start(b, natstest.Options{Servers: servers})
			node, bare := openNode(b, c), newBare(b, c)
			bare.lead(b, c, bareStream)
			bare.lead(b, c, jetstream.DefaultStream)
			sides := []*writeSide{
				{name: "rtdb", write: keyspaceWriter(node)},
				{name: "bare", write: bare.writer(false)},
				{name: "checked", write: bare.writer(true)},
				{name: "heard", write: bare.writer(true), heard: bare},
			}
			for b.Loop() {
				for range rounds {
					for _, x := range sides {
						x.round(b, keys, length)
					}
				}
			}
			for _, x := range sides {
				b.ReportMetric(median(x.rates), x.name+"-writes/s")
				b.ReportMetric(median(x.costs), x.name+"-µs/write")
				b.ReportMetric(median(x.servers), x.name+"-servers-µs/write")
				b.ReportMetric(median(x.bytes), x.name+"-B/write")
				if x != sides[0] {
					b.ReportMetric(medianRatio(sides[0].rates, x.rates), "x-"+x.name)
				}
			}
			b.ReportMetric(float64(bare.overlaps.Load()), "bare-overlaps")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// A writeSide is one of the sides that write.
type writeSide struct {
	name    string
	write   benchWriter
	heard   *bare     // if it is not nil, its messages are received
	rates   []float64 // writes a second, of each round
	costs   []float64 // CPU time of this process for a write, in µs
	servers []float64 // CPU time of all servers for a write, in µs
	bytes   []float64 // allocated by this process for a write
}

// round writes all keys for a time, each by a goroutine of its own.
func (x *writeSide) round(b *testing.B, keys int, length time.Duration) {
	b.Helper()
	if x.heard != nil {
		defer x.heard.listen(b)()
	}
	var running sync.WaitGroup
	var writes atomic.Int64
	began, cpu, servers, before := time.Now(), processCPU(), serversCPU(b), allocated()
	end := began.Add(length)
	for i := range keys {
		running.Go(func() {
			n := int64(0)
			for key := benchKey(i); time.Now().Before(end); n++ {
				if err := x.write(b.Context(), key, benchValue); err != nil {
					b.Errorf("%s: write %s: %v", x.name, key, err)
					return
				}
			}
			writes.Add(n)
		})
	}
	running.Wait()
	n := float64(writes.Load())
	x.rates = append(x.rates, n/time.Since(began).Seconds())
	x.costs = append(x.costs, microseconds(processCPU()-cpu)/n)
	x.servers = append(x.servers, microseconds(serversCPU(b)-servers)/n)
	x.bytes = append(x.bytes, float64(allocated()-before)/n)
}

func microseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// processCPU returns the user and system time of this process.
func processCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // it fails only for a bad argument
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchKey(i int) string { return fmt.Sprintf("device/%04d/state", i) }

var benchValue = bytes.Repeat([]byte("x"), 64)

// A benchWriter makes one write and waits until it is made.
type benchWriter func(ctx context.Context, key string, value []byte) error

func keyspaceWriter(ks *keyspace.Keyspace) benchWriter {
	return func(ctx context.Context, key string, value []byte) error {
		_, err := ks.Set(ctx, key, value)
		return err
	}
}

// clientURL returns the address of the server that all sides connect to: the last one.
func clientURL(c *natstest.Cluster) string { return c.Server(c.Servers() - 1).URL() }

// lead makes the first server the leader of a stream, so that no side has a leader that is
// nearer than that of the others.
func (x *bare) lead(b *testing.B, c *natstest.Cluster, stream string) {
	b.Helper()
	for c.Leader(b, stream) != 0 {
		request := fmt.Sprintf(`{"placement":{"preferred":%q}}`, c.Server(0).Name())
		m, err := x.conn.Request("$JS.API.STREAM.LEADER.STEPDOWN."+stream, []byte(request), time.Second)
		if err == nil && bytes.Contains(m.Data, []byte(`"error"`)) {
			b.Fatalf("the leader of %s stays: %s", stream, m.Data)
		}
	}
}

// openNode opens a keyspace on the default stream. It ends with the benchmark.
func openNode(b *testing.B, c *natstest.Cluster) *keyspace.Keyspace {
	b.Helper()
	ks, _ := openStore(b, c)
	return ks
}

func openStore(b *testing.B, c *natstest.Cluster) (*keyspace.Keyspace, *jetstream.Store) {
	b.Helper()
	s, err := jetstream.Open(jetstream.Options{URL: clientURL(c), Replicas: c.Servers(), Node: "benchmark"})
	if err != nil {
		b.Fatal(err)
	}
	ks, err := keyspace.Open(keyspace.Options{Store: s})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := ks.Shutdown(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return ks, s
}

// bareStream names the stream that nats.go writes to without rtdb.
const bareStream = "bare"

// A bare is nats.go without rtdb, on a stream with rtdb's settings.
type bare struct {
	conn *nats.Conn
	js   natsjs.JetStream

	overlaps atomic.Int64

	mu        sync.Mutex
	sequences map[string]*uint64 // the last sequence of each key, which its writer alone uses
}

func newBare(b *testing.B, c *natstest.Cluster) *bare {
	b.Helper()
	conn, js := connectBare(b, c)
	x := &bare{conn: conn, js: js, sequences: map[string]*uint64{}}
	if _, err := x.js.CreateStream(b.Context(), jetstream.Config(bareStream, c.Servers())); err != nil {
		b.Fatal(err)
	}
	return x
}

func connectBare(b *testing.B, c *natstest.Cluster) (*nats.Conn, natsjs.JetStream) {
	b.Helper()
	conn, err := nats.Connect(clientURL(c))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(conn.Close)
	js, err := natsjs.New(conn, natsjs.WithPublishAsyncMaxPending(2000))
	if err != nil {
		b.Fatal(err)
	}
	return conn, js
}

func bareSubject(key string) string {
	return bareStream + ".k." + string(bytes.ReplaceAll([]byte(key), []byte("/"), []byte(".")))
}

// codeOverlap is JetStream's error for a message with a condition whose subject has another
// message in flight.
const codeOverlap = 10164

// writer returns a function that publishes a message asynchronously and waits for its answer.
// isChecked gives each message the condition that no other message of the key came between.
// The stream may still have a key's last message in flight after it has confirmed it. Then
// the function tries again.
func (x *bare) writer(isChecked bool) benchWriter {
	publish := x.publisher(isChecked)
	return func(ctx context.Context, key string, value []byte) error {
		for {
			err := publish(ctx, key, value)
			var refused *natsjs.APIError
			if !errors.As(err, &refused) || refused.ErrorCode != codeOverlap {
				return err
			}
			x.overlaps.Add(1)
		}
	}
}

func (x *bare) publisher(isChecked bool) benchWriter {
	return func(ctx context.Context, key string, value []byte) error {
		m := &nats.Msg{Subject: bareSubject(key), Data: value}
		last := x.last(key)
		var options []natsjs.PublishOpt
		if isChecked {
			options = append(options, natsjs.WithExpectLastSequencePerSubject(*last))
		}
		f, err := x.js.PublishMsgAsync(m, options...)
		if err != nil {
			return err
		}
		select {
		case ack := <-f.Ok():
			*last = ack.Sequence
			return nil
		case err := <-f.Err():
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (x *bare) last(key string) *uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.sequences[key]
	if p == nil {
		p = new(uint64)
		x.sequences[key] = p
	}
	return p
}

// listen receives the messages that the stream publishes again, until stop is called.
func (x *bare) listen(b *testing.B) (stop func()) {
	b.Helper()
	s, err := x.conn.Subscribe(bareStream+".r.>", func(*nats.Msg) {})
	if err != nil {
		b.Fatal(err)
	}
	return func() {
		if err := errors.Join(s.Unsubscribe(), x.conn.Flush()); err != nil {
			b.Error(err)
		}
	}
}

// allocated returns the bytes that this process has ever allocated.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

func median(figures []float64) float64 {
	sorted := slices.Sorted(slices.Values(figures))
	return sorted[len(sorted)/2]
}

// medianRatio returns the median of the ratios of figures that were measured in turn.
func medianRatio(ours, theirs []float64) float64 {
	var all []float64
	for i := range ours {
		all = append(all, ours[i]/theirs[i])
	}
	return median(all)
}
