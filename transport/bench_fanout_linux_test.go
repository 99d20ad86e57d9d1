package transport_test

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// What a delivery costs the server's process, beside what it costs others that
// do as much. All sides take turns in one run, and a ratio is that of medians:
// "x-bare" is what rtdb took for each that the bare loop took.
//
// With -short the benchmarks only show that they still run.

// One key and 1000 who listen to it, as fast as all of them keep up with,
// beside a loop that writes the same bytes to the same number of sockets, and
// beside Redis. With a window of 1 each update is a write of its own on all
// sides; with 8 there may be something to put together; with 200 nobody waits
// for the publisher.
func BenchmarkFanoutOneKey(b *testing.B) {
	for _, window := range []int{1, 8, 200} {
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) {
			compare(b, shape{keys: 1, subscribers: 1000, publishers: 1, window: window}, "bare", "redis")
		})
	}
}

// 1000 keys and 50 who listen to all of them, as fast as they keep up with.
// The window is below what a client may be behind before updates conflate.
func BenchmarkFanoutManyKeys(b *testing.B) {
	compare(b, shape{keys: 1000, subscribers: 50, publishers: 4, window: 200}, "library", "redis")
}

// The same at 5000 writes a second.
func BenchmarkFanoutPaced(b *testing.B) {
	compare(b, shape{keys: 1000, subscribers: 50, publishers: 4, window: 200, rate: 5000}, "redis")
}

// What a delivery allocates once all is warm: what 1000 subscribers add to what
// a write to one of them does.
func BenchmarkFanoutAllocs(b *testing.B) {
	s, length := shape{keys: 1, subscribers: 1000, publishers: 1, window: 8}, 2*time.Second
	if testing.Short() {
		s.subscribers, length = 50, 50*time.Millisecond
	}
	server := startChild(b, "rtdb")
	measure := func(s shape) (aWrite float64) {
		x := &side{name: "rtdb", server: server, say: webSocketSpeaker{}}
		x.connect(b, s)
		defer x.disconnect(b)
		before := server.ask(b, "mallocs")
		writes, err := x.load.run(length, s)
		if err != nil {
			b.Fatal(err)
		}
		return (server.ask(b, "mallocs") - before) / float64(writes)
	}
	for b.Loop() {
		many := measure(s)
		one := s
		one.subscribers = 1
		alone := measure(one)
		b.ReportMetric(alone, "allocs/write-to-1")
		b.ReportMetric((many-alone)/float64(s.subscribers-1), "allocs/delivery")
	}
	b.ReportMetric(0, "ns/op")
}

// A side is one of the servers that are compared.
type side struct {
	name   string
	server *child
	say    speaker

	load  *load
	since time.Time // the load's connections are that old

	costs []float64 // CPU for each delivery of a round, in ns
	rates []float64 // deliveries a second
}

// maxLoadAge keeps connections younger than the first ping, which is none of
// the bytes that are counted.
const maxLoadAge = 15 * time.Second

// compare has rtdb and the others take turns.
func compare(b *testing.B, s shape, others ...string) {
	rounds, length := 5, time.Second
	if testing.Short() {
		rounds, length = 1, 50*time.Millisecond
		s.subscribers = min(s.subscribers, 50)
	}
	var sides []*side
	for _, name := range append([]string{"rtdb"}, others...) {
		if x := startSide(b, name); x != nil {
			sides = append(sides, x)
		}
	}
	for b.Loop() {
		for range rounds {
			for _, x := range sides {
				x.round(b, s, length)
			}
		}
	}
	ours := median(sides[0].costs)
	for _, x := range sides {
		b.ReportMetric(median(x.costs), x.name+"-ns/delivery")
		b.ReportMetric(median(x.rates), x.name+"-deliveries/s")
		if x != sides[0] {
			b.ReportMetric(ours/median(x.costs), "x-"+x.name)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// startSide returns nil where there is no such server.
func startSide(b *testing.B, name string) *side {
	x := &side{name: name, say: webSocketSpeaker{}}
	switch name {
	case "redis":
		x.server, x.say = startRedis(b), redisSpeaker{}
	case "bare":
		x.server, x.say = startChild(b, name), bareSpeaker{}
	default:
		x.server = startChild(b, name)
	}
	if x.server == nil {
		return nil
	}
	b.Cleanup(func() { x.disconnect(b) }) // before the server ends
	return x
}

func (x *side) disconnect(b *testing.B) {
	if x.load == nil {
		return
	}
	if err := x.load.close(); err != nil {
		b.Error(err)
	}
	x.load = nil
}

// connect sees that there are connections, and that they are young.
func (x *side) connect(b *testing.B, s shape) {
	b.Helper()
	if x.load != nil && time.Since(x.since) < maxLoadAge {
		return
	}
	x.disconnect(b)
	x.since = time.Now()
	var err error
	if x.load, err = newLoad(x.server.address, x.say, s); err == nil {
		_, err = x.load.run(20*time.Millisecond, s) // what is done once is done
	}
	if err != nil {
		b.Fatalf("%s: %v", x.name, err)
	}
	x.server.rest(b)
}

func (x *side) round(b *testing.B, s shape, length time.Duration) {
	b.Helper()
	x.connect(b, s)
	cpu, start := x.server.cpu(b), time.Now()
	writes, err := x.load.run(length, s)
	if err != nil {
		b.Fatalf("%s: %v", x.name, err)
	}
	took := time.Since(start)
	cpu = x.server.cpu(b) - cpu
	deliveries := float64(writes * s.subscribers)
	x.costs = append(x.costs, float64(cpu.Nanoseconds())/deliveries)
	x.rates = append(x.rates, deliveries/took.Seconds())
}

func median(figures []float64) float64 {
	sorted := slices.Sorted(slices.Values(figures))
	return sorted[len(sorted)/2]
}
