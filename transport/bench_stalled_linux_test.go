package transport_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkStalledClients measures how long an update takes to clients that read, while 1
// in 100 of 500 clients reads nothing, and while all read, in turn. The rate leaves the
// machine idle for half of the time. Otherwise a queue would be measured.
func BenchmarkStalledClients(b *testing.B) {
	rounds, length := 8, 1500*time.Millisecond
	s := shape{keys: 1, subscribers: 500, publishers: 1, window: 200, rate: 100}
	stalled := 5
	if testing.Short() {
		rounds, length, s.subscribers, stalled = 1, 50*time.Millisecond, 50, 1
	}
	server := startChild(b, "rtdb")
	var p99 [2][]float64 // without and with stalled clients
	var p50 [2][]float64
	for b.Loop() {
		for n := range 2 * rounds {
			some := n % 2
			latencies := stalledRound(b, server, s, some*stalled, length)
			slices.Sort(latencies)
			p50[some] = append(p50[some], float64(latencies[len(latencies)/2].Microseconds()))
			p99[some] = append(p99[some], float64(latencies[len(latencies)*99/100].Microseconds()))
		}
	}
	b.ReportMetric(median(p50[0]), "µs/p50-none")
	b.ReportMetric(median(p50[1]), "µs/p50-stalled")
	b.ReportMetric(median(p99[0]), "µs/p99-none")
	b.ReportMetric(median(p99[1]), "µs/p99-stalled")
	b.ReportMetric(median(p99[1])/median(p99[0]), "x-none")
	b.ReportMetric(median(p50[1])/median(p50[0]), "x-none-p50")
	b.ReportMetric(0, "ns/op")
}

// stalledRound returns the latencies of clients that read.
func stalledRound(b *testing.B, server *child, s shape, stalled int, length time.Duration) (latencies []time.Duration) {
	b.Helper()
	s.subscribers -= stalled
	l, err := newLoad(server.address, webSocketSpeaker{}, s)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := l.close(); err != nil {
			b.Error(err)
		}
		server.rest(b)
	}()
	deaf, err := newStalled(server.address, stalled)
	if err != nil {
		b.Fatal(err)
	}
	server.rest(b)
	l.latency = func(d time.Duration) { latencies = append(latencies, d) }
	if _, err := l.run(length, s); err != nil {
		b.Fatal(err)
	}
	for _, k := range deaf {
		if err := k.wantStalled(); err != nil {
			b.Error(err)
		}
	}
	return latencies
}

// A stalledClient subscribes to keys 0 and 1 and reads nothing.
type stalledClient struct {
	*socket
	sent int // bytes that were written to it, at least
}

// newStalled returns n stalled clients. It writes key 1, which has no other subscriber,
// until the kernel's buffers for them are full.
func newStalled(address string, n int) (clients []*stalledClient, err error) {
	if n == 0 {
		return nil, nil
	}
	for range n {
		k, err := dialSmall(address, 2048)
		if err != nil {
			return nil, err
		}
		clients = append(clients, &stalledClient{socket: k})
		if err := (webSocketSpeaker{}).listen(k, 2); err != nil {
			return nil, err
		}
	}
	writer, err := dialSocket(address)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, writer.close()) }()
	if err := writer.shakeHands("/ws"); err != nil {
		return nil, err
	}
	const size, writes = 8 << 10, 64
	value := strings.Repeat("x", size)
	for range writes {
		request := fmt.Appendf(nil, `{"id":1,"action":"set","key":%q,"value":%q}`, keyName(1), value)
		if err := writer.send(clientFrame(request)); err != nil {
			return nil, err
		}
		if _, err := writer.receiveFrame(); err != nil { // one by one, so that the later writes find the client stalled
			return nil, err
		}
	}
	for _, k := range clients {
		k.sent = writes * size
	}
	return clients, nil
}

// wantStalled expects that the client was stalled, and closes it: because updates were
// conflated, fewer bytes are left for it than were written.
func (s *stalledClient) wantStalled() error {
	heard := 0
	soon := syscall.Timeval{Usec: 200_000}
	err := syscall.SetsockoptTimeval(s.fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &soon)
	p := make([]byte, 64<<10)
	for err == nil {
		var n int
		if n, err = s.read(p); err == nil && n == 0 {
			err = errors.New("the server has closed a stalled connection")
		}
		heard += n
	}
	if err == syscall.EAGAIN {
		err = nil
	}
	if heard >= s.sent {
		err = errors.Join(err, fmt.Errorf("a client was not stalled: it has heard %d bytes", heard))
	}
	return errors.Join(err, s.close())
}
