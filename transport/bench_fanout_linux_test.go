package transport_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"
)

// These benchmarks measure the CPU that the server's process takes for a delivery, and
// that of other servers that do the same. All sides take turns in one run. A ratio is one
// of medians: "x-bare" is rtdb's CPU time divided by that of the bare loop.
//
// With -short the benchmarks only show that they still run.

// BenchmarkFanoutOneKey writes one key with 1000 subscribers, as fast as every client can
// read. It compares with a loop that writes the same bytes to as many sockets, and with
// Redis. With a window of 1, each update is a write of its own on all sides. With more,
// updates may share a write. With 200, clients never wait for the publisher.
func BenchmarkFanoutOneKey(b *testing.B) {
	for _, window := range []int{1, 4, 8, 50, 200} {
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) {
			compare(b, shape{keys: 1, subscribers: 1000, publishers: 1, window: window}, "bare", "redis")
		})
	}
}

// BenchmarkFanoutFew writes one key with few subscribers. The publisher waits until all have the
// update before it writes again.
func BenchmarkFanoutFew(b *testing.B) {
	for _, n := range []int{1, 10, 50} {
		b.Run(fmt.Sprintf("subscribers=%d", n), func(b *testing.B) {
			compare(b, shape{keys: 1, subscribers: n, publishers: 1, window: 1}, "redis")
		})
	}
}

// BenchmarkFanoutManyKeys writes 1000 keys with 50 subscribers of all of them, as fast as
// every client can read. The window is so small that updates do not conflate.
func BenchmarkFanoutManyKeys(b *testing.B) {
	compare(b, shape{keys: 1000, subscribers: 50, publishers: 4, window: 200}, "library", "redis")
}

// BenchmarkFanoutPaced is BenchmarkFanoutManyKeys at 5000 writes a second. It also measures
// the time from a write to its deliveries.
func BenchmarkFanoutPaced(b *testing.B) {
	compare(b, shape{keys: 1000, subscribers: 50, publishers: 4, window: 200, rate: 5000, timed: true}, "redis")
}

// BenchmarkFanoutAllocs measures the allocations of a delivery: those of a write with 1000
// subscribers, less those of a write with one.
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
	name      string
	server    *child
	say       speaker
	address   string   // the load connects to it; "": the server's
	publishAt string   // the address of another server for the publishers; "": the same one
	more      []*child // servers that take turns with the first one in getting the subscribers
	behind    []*child // servers that the first one needs

	load  *load
	since time.Time // when the load's connections were made

	costs []float64 // CPU for each delivery of a round, in ns
	rates []float64 // deliveries a second
	reads []float64 // of clients, for each delivery: as many as writes, if the clients keep up
	p99s  []float64 // of the time from a write to a delivery, in ms
}

// maxLoadAge is how old connections may become. It is less than the time of the first
// ping, whose bytes would be counted.
const maxLoadAge = 15 * time.Second

// compare measures the program rtdb and the others in turn.
func compare(b *testing.B, s shape, others ...string) {
	sides := []*side{startProgramSide(b)}
	for _, name := range others {
		if x := startSide(b, name); x != nil {
			sides = append(sides, x)
		}
	}
	compareSides(b, s, sides...)
}

// compareSides measures the sides in turn, and compares the first one with each other one.
func compareSides(b *testing.B, s shape, sides ...*side) {
	rounds, length := 5, time.Second
	if testing.Short() {
		rounds, length = 1, 50*time.Millisecond
		s.subscribers = min(s.subscribers, 50)
	}
	for b.Loop() {
		for range rounds {
			for _, x := range sides {
				x.round(b, s, length)
				if s.timed {
					x.timedRound(b, s, length)
				}
			}
		}
	}
	for _, x := range sides {
		b.ReportMetric(median(x.costs), x.name+"-ns/delivery")
		b.ReportMetric(median(x.rates), x.name+"-deliveries/s")
		b.ReportMetric(median(x.reads), x.name+"-reads/delivery")
		if s.timed {
			b.ReportMetric(median(x.p99s), x.name+"-p99-ms")
		}
		if x == sides[0] {
			continue
		}
		b.ReportMetric(median(sides[0].costs)/median(x.costs), "x-"+x.name)
		if s.timed {
			b.ReportMetric(median(sides[0].p99s)/median(x.p99s), "x-"+x.name+"-p99")
		}
	}
	b.ReportMetric(0, "ns/op")
}

// startSide starts a server. It returns nil if the server is not installed.
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
	x.disconnectAtEnd(b)
	return x
}

// startProgramSide starts the program rtdb, with its usual settings.
func startProgramSide(b *testing.B) *side {
	x := &side{name: "rtdb", server: startRTDB(b, buildRTDB(b)), say: webSocketSpeaker{}}
	x.disconnectAtEnd(b)
	return x
}

// disconnectAtEnd makes the benchmark disconnect before the server ends.
func (x *side) disconnectAtEnd(b *testing.B) { b.Cleanup(func() { x.disconnect(b) }) }

func (x *side) disconnect(b *testing.B) {
	if x.load == nil {
		return
	}
	if err := x.load.close(); err != nil {
		b.Error(err)
	}
	x.load = nil
}

// connect makes new connections if there are none or they are too old.
func (x *side) connect(b *testing.B, s shape) {
	b.Helper()
	if x.load != nil && time.Since(x.since) < maxLoadAge {
		return
	}
	x.disconnect(b)
	x.since = time.Now()
	s.publishAt = x.publishAt
	for _, server := range x.more {
		s.more = append(s.more, server.address)
	}
	var err error
	if x.load, err = newLoad(cmp.Or(x.address, x.server.address), x.say, s); err == nil {
		_, err = x.load.run(20*time.Millisecond, s) // so that one-time work is done
	}
	if err != nil {
		b.Fatalf("%s: %v", x.name, err)
	}
	for _, server := range x.servers() {
		server.rest(b)
	}
}

func (x *side) servers() []*child { return slices.Concat([]*child{x.server}, x.more, x.behind) }

// cpu returns the CPU time of the side's servers.
func (x *side) cpu(b *testing.B) (sum time.Duration) {
	b.Helper()
	for _, server := range x.servers() {
		sum += server.cpu(b)
	}
	return sum
}

func (x *side) round(b *testing.B, s shape, length time.Duration) {
	b.Helper()
	x.connect(b, s)
	cpu, reads, start := x.cpu(b), x.load.reads, time.Now()
	updates, err := x.load.run(length, s)
	if err != nil {
		b.Fatalf("%s: %v", x.name, err)
	}
	took := time.Since(start)
	cpu = x.cpu(b) - cpu
	deliveries := float64(updates * s.subscribers)
	x.costs = append(x.costs, float64(cpu.Nanoseconds())/deliveries)
	x.rates = append(x.rates, deliveries/took.Seconds())
	x.reads = append(x.reads, float64(x.load.reads-reads)/deliveries)
}

// timedRound measures how long deliveries take. It is a round of its own, because the stamps
// cost the load CPU.
func (x *side) timedRound(b *testing.B, s shape, length time.Duration) {
	b.Helper()
	x.connect(b, s)
	var took []time.Duration
	x.load.latency = func(d time.Duration) { took = append(took, d) }
	_, err := x.load.run(length, s)
	x.load.latency = nil
	if err != nil {
		b.Fatalf("%s: %v", x.name, err)
	}
	slices.Sort(took)
	x.p99s = append(x.p99s, milliseconds(took[len(took)*99/100]))
}

func median(figures []float64) float64 {
	sorted := slices.Sorted(slices.Values(figures))
	return sorted[len(sorted)/2]
}
