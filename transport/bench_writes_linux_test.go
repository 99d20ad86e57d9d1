package transport_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"
)

// BenchmarkWrites measures writes of 50 WebSockets to 10,000 keys without subscribers. It
// compares with a map behind a mutex, with the same library and the same parser. Each
// writer has 1 or 16 requests under way.
func BenchmarkWrites(b *testing.B) {
	for _, depth := range []int{1, 16} {
		b.Run(fmt.Sprintf("inflight=%d", depth), func(b *testing.B) { compareWrites(b, depth, webSocketWrites{}, "map") })
	}
}

// compareWrites measures writes of 50 clients to 10,000 keys of the program rtdb and of another
// server in turn. Each client has depth requests under way.
func compareWrites(b *testing.B, depth int, say writeSpeaker, other string) {
	rounds, length, keys := 5, time.Second, 10_000
	if testing.Short() {
		rounds, length, keys = 1, 50*time.Millisecond, 500
	}
	sides := []*writeSide{
		{name: "rtdb", speaker: say, server: startRTDB(b, buildRTDB(b), "--log-level", "warn")}, // no line for each request
		{name: other, speaker: say, server: startChild(b, other)},
	}
	for b.Loop() {
		for range rounds {
			for _, x := range sides {
				if err := x.round(b, 50, keys, depth, length); err != nil {
					b.Fatalf("%s: %v", x.name, err)
				}
			}
		}
	}
	for _, x := range sides {
		b.ReportMetric(median(x.rates), x.name+"-writes/s")
		b.ReportMetric(median(x.costs), x.name+"-ns/write")
	}
	b.ReportMetric(median(sides[0].rates)/median(sides[1].rates), "x-"+other)
	b.ReportMetric(0, "ns/op")
}

// A writeSpeaker speaks the protocol in which a server is written to.
type writeSpeaker interface {
	begin(s *socket) error
	request(key string) []byte               // has one length for all keys of one length
	reply(s *socket) (length int, err error) // receives the first one
}

// webSocketWrites write over a WebSocket.
type webSocketWrites struct{}

func (webSocketWrites) begin(s *socket) error { return s.shakeHands("/ws") }

func (webSocketWrites) request(key string) []byte {
	return clientFrame(fmt.Appendf(nil, `{"id":1,"action":"set","key":%q,"value":%s}`, key, sampleValue))
}

func (webSocketWrites) reply(s *socket) (int, error) {
	reply, err := s.receiveFrame()
	if err == nil && !bytes.HasPrefix(reply, []byte(`{"id":1,"ok":true,"version":`)) {
		err = fmt.Errorf("the reply to set is %s", reply)
	}
	return len(serverFrame(reply)), err // the number of digits of a version does not change for centuries
}

// redisWrites write to Redis.
type redisWrites struct{}

func (redisWrites) begin(*socket) error { return nil }

func (redisWrites) request(key string) []byte {
	return redisCommand("SET", key, string(sampleValue))
}

func (redisWrites) reply(s *socket) (int, error) {
	const ok = "+OK\r\n"
	reply, err := s.receive(len(ok))
	if err == nil && string(reply) != ok {
		err = fmt.Errorf("the reply to SET is %s", reply)
	}
	return len(ok), err
}

// A writeSide is one of the servers that take writes.
type writeSide struct {
	name    string
	speaker writeSpeaker // nil: over a WebSocket
	server  *child
	costs   []float64 // CPU for each write of a round, in ns
	rates   []float64 // writes a second
}

// round makes new connections, which are closed before the first ping.
func (x *writeSide) round(b *testing.B, writers, keys, depth int, length time.Duration) (err error) {
	b.Helper()
	if x.speaker == nil {
		x.speaker = webSocketWrites{}
	}
	l, err := newWriteLoad(x.server.address, x.speaker, writers, keys, depth)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	x.server.rest(b)
	cpu, start := x.server.cpu(b), time.Now()
	if err := l.run(start.Add(length)); err != nil {
		return err
	}
	took := time.Since(start)
	cpu = x.server.cpu(b) - cpu
	writes := 0
	for _, w := range l.writers {
		writes += w.sent
	}
	x.costs = append(x.costs, float64(cpu.Nanoseconds())/float64(writes))
	x.rates = append(x.rates, float64(writes)/took.Seconds())
	return nil
}

// A writeLoad is writers that wait for replies. It is one loop, as a load is.
type writeLoad struct {
	poller  *poller
	writers []*writer
	depth   int // requests that a writer has under way
	unit    int // bytes of a reply
	buffer  [64 << 10]byte
}

// A writer writes and waits for replies.
type writer struct {
	publisher
	sent  int
	bytes int // of replies
}

func newWriteLoad(address string, speaker writeSpeaker, writers, keys, depth int) (l *writeLoad, err error) {
	l = &writeLoad{depth: depth}
	if l.poller, err = newPoller(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	for i := range writers {
		s, err := dialSocket(address)
		if err != nil {
			return l, err
		}
		w := &writer{publisher: publisher{socket: s}}
		l.writers = append(l.writers, w)
		for key := i; key < keys; key += writers {
			request := speaker.request(keyName(key))
			w.requests = append(w.requests, request...)
			w.unit = len(request)
		}
		if err := speaker.begin(s); err != nil {
			return l, err
		}
		if err := s.send(w.requests[:w.unit]); err != nil {
			return l, err
		}
		if l.unit, err = speaker.reply(s); err != nil {
			return l, err
		}
		if err := l.poller.add(s, i); err != nil {
			return l, err
		}
	}
	return l, nil
}

func (l *writeLoad) close() (err error) {
	for _, w := range l.writers {
		err = errors.Join(err, w.close())
	}
	return errors.Join(err, l.poller.close())
}

// run writes until end and waits for all replies.
func (l *writeLoad) run(end time.Time) error {
	waiting := 0
	for _, w := range l.writers {
		if err := w.write(l.depth); err != nil {
			return err
		}
		waiting += l.depth
	}
	for waiting > 0 {
		events, err := l.poller.wait()
		if err != nil {
			return fmt.Errorf("%w: %d replies are missing", err, waiting)
		}
		more := time.Now().Before(end)
		for _, e := range events {
			w := l.writers[e.Fd]
			n, err := w.read(l.buffer[:])
			switch {
			case err != nil:
				return err
			case n == 0:
				return errors.New("the server has closed a connection")
			}
			replies := (w.bytes+n)/l.unit - w.bytes/l.unit
			w.bytes += n
			waiting -= replies
			if more {
				if err := w.write(replies); err != nil {
					return err
				}
				waiting += replies
			}
		}
	}
	for _, w := range l.writers {
		if w.bytes != w.sent*l.unit {
			return fmt.Errorf("%d bytes of replies to %d requests, each %d long", w.bytes, w.sent, l.unit)
		}
	}
	return nil
}

func (w *writer) write(n int) error {
	w.sent += n
	for n > 0 {
		size := min(n*w.unit, len(w.requests)-w.next)
		if err := w.send(w.requests[w.next : w.next+size]); err != nil {
			return err
		}
		w.next = (w.next + size) % len(w.requests)
		n -= size / w.unit
	}
	return nil
}
