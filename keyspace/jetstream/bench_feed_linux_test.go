package jetstream_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"rtdb/keyspace/jetstream/natstest"
)

// BenchmarkFeed measures the cost of one more node's feed for the NATS server. It writes 5000
// times a second, without nodes and with the subscriptions of 20 nodes.
func BenchmarkFeed(b *testing.B) {
	const nodes, rate = 20, 5000
	rounds, length := 5, time.Second
	if testing.Short() {
		rounds, length = 1, 50*time.Millisecond
	}
	c := natstest.Start(b, natstest.Options{Servers: 1, Lazy: true})
	bare := newBare(b, c)
	var connections []*nats.Conn
	for range nodes {
		conn, _ := connectBare(b, c)
		connections = append(connections, conn)
	}
	write := &deliverySide{write: bare.writer(true)}
	measure := func() float64 {
		before := serversCPU(b)
		writes := write.pace(b, 1000, rate, length)
		return microseconds(serversCPU(b)-before) / float64(writes)
	}
	var alone, fed []float64
	for b.Loop() {
		for range rounds {
			alone = append(alone, measure())
			var all []*nats.Subscription
			for _, conn := range connections {
				s, err := conn.Subscribe(bareStream+".r.>", func(*nats.Msg) {})
				if err = errors.Join(err, conn.Flush()); err != nil {
					b.Fatal(err)
				}
				all = append(all, s)
			}
			fed = append(fed, (measure()-alone[len(alone)-1])/nodes)
			for i, s := range all {
				if err := errors.Join(s.Unsubscribe(), connections[i].Flush()); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.ReportMetric(median(alone), "server-µs/write")
	b.ReportMetric(median(fed), "server-µs/fed")
	b.ReportMetric(0, "ns/op")
}

// serversCPU returns the user and system time of all children of this process.
func serversCPU(b *testing.B) (cpu time.Duration) {
	b.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(lists) == 0 {
		b.Skip("the kernel does not list the children of a process")
	}
	for _, list := range lists {
		pids, _ := os.ReadFile(list)
		for _, pid := range strings.Fields(string(pids)) {
			text, err := os.ReadFile("/proc/" + pid + "/stat")
			if err != nil {
				b.Fatal(err)
			}
			// utime and stime are the 14th and the 15th field. The second one, in parentheses,
			// may contain any character (proc_pid_stat(5)).
			fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
			for _, f := range fields[14-3 : 16-3] {
				ticks, err := strconv.Atoi(string(f))
				if err != nil {
					b.Fatal(err)
				}
				cpu += time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100
			}
		}
	}
	return cpu
}
