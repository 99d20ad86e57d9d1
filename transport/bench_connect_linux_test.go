package transport_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"rtdb/keyspace/jetstream/natstest"
)

// BenchmarkConnect measures the CPU that the program rtdb takes for a WebSocket: the
// connection, the handshake, a subscription, its reply, and the end. It compares with
// nats-server. 10,000 connections are open at once.
func BenchmarkConnect(b *testing.B) {
	rounds, n := 3, 10_000
	if testing.Short() {
		rounds, n = 1, 200
	}
	sides := []*connectSide{
		{name: "rtdb", server: startRTDB(b, buildRTDB(b)), listen: func(s *socket) error { return webSocketSpeaker{}.listen(s, 1) }},
		{name: "nats", server: startNATS(b), listen: listenToNATS},
	}
	for b.Loop() {
		for range rounds {
			for _, x := range sides {
				x.round(b, n)
			}
		}
	}
	for _, x := range sides {
		b.ReportMetric(median(x.costs), x.name+"-µs/conn")
	}
	b.ReportMetric(median(sides[0].costs)/median(sides[1].costs), "x-nats")
	b.ReportMetric(0, "ns/op")
}

// A connectSide is one of the servers that are connected to.
type connectSide struct {
	name   string
	server *child
	listen func(s *socket) error
	costs  []float64 // CPU for each connection of a round, in µs
}

func (x *connectSide) round(b *testing.B, n int) {
	b.Helper()
	x.server.rest(b)
	before := x.server.cpu(b)
	c, err := newCrowd(x.server.address, n, x.listen)
	if err == nil {
		err = c.close()
	}
	if err != nil {
		b.Fatalf("%s: %v", x.name, err)
	}
	x.server.rest(b)
	x.costs = append(x.costs, float64((x.server.cpu(b)-before).Microseconds())/float64(n))
}

// startNATS starts a nats-server that serves WebSockets.
func startNATS(b *testing.B) *child {
	b.Helper()
	address, _ := freeAddress(b)
	pid := filepath.Join(b.TempDir(), "pid")
	natstest.Start(b, natstest.Options{Config: fmt.Sprintf("websocket { listen: %q, no_tls: true }\npid_file: %q", address, pid)})
	text, err := os.ReadFile(pid)
	if err != nil {
		b.Fatal(err)
	}
	number, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		b.Fatal(err)
	}
	process, err := os.FindProcess(number)
	if err != nil {
		b.Fatal(err)
	}
	return &child{process: &exec.Cmd{Process: process}, address: address}
}

// listenToNATS subscribes to key 0 over a WebSocket. It sends everything in one frame, which
// costs the server least.
func listenToNATS(s *socket) error {
	if err := s.shakeHands("/"); err != nil {
		return err
	}
	if _, err := s.receiveFrame(); err != nil { // it describes the server
		return err
	}
	request := clientFrame(fmt.Appendf(nil, "CONNECT {\"verbose\":false}\r\nSUB %s 1\r\nPING\r\n", keyName(0)))
	request[0] = 0x82 // a binary message
	if err := s.send(request); err != nil {
		return err
	}
	reply, err := s.receiveFrame()
	if err == nil && string(reply) != "PONG\r\n" {
		err = fmt.Errorf("nats-server answers with %q", reply)
	}
	return err
}
