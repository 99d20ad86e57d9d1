package transport_test

import (
	"errors"
	"testing"
	"time"
)

// These benchmarks compare the resident memory of the program rtdb with that of Redis, two
// seconds after the last request. No garbage collection is forced.

// BenchmarkIdleConnection measures the memory of a WebSocket that has one subscription and is
// idle.
func BenchmarkIdleConnection(b *testing.B) {
	n := 10_000
	if testing.Short() {
		n = 500
	}
	compareMemory(b, "B/conn", func(x *memorySide) (grown float64, err error) {
		var c crowd
		grown, err = x.grow(b, func() (err error) {
			c, err = newCrowd(x.server.address, n, func(s *socket) error { return x.keys.listen(s, 1) })
			return err
		})
		return grown / float64(n), errors.Join(err, c.close())
	})
}

// BenchmarkSubscription measures the memory of a further subscription of a connection: 200
// connections have one, and then 1000 each, of the same 1000 keys.
func BenchmarkSubscription(b *testing.B) {
	connections, keys := 200, 1000
	if testing.Short() {
		connections, keys = 5, 100
	}
	compareMemory(b, "B/subscription", func(x *memorySide) (float64, error) {
		c, err := newCrowd(x.server.address, connections, func(s *socket) error { return x.keys.listen(s, 1) })
		if err != nil {
			return 0, err
		}
		time.Sleep(memoryWait())
		grown, err := x.grow(b, func() error {
			return c.each(func(i int) error { return x.keys.subscribe(c[i], 1, keys) })
		})
		return grown / float64(connections*(keys-1)), errors.Join(err, c.close())
	})
}

// BenchmarkMillionKeys measures the memory of a key with a value of 64 bytes. The keys are
// written over four connections with 200 requests under way.
func BenchmarkMillionKeys(b *testing.B) {
	n, connections, depth := 1_000_000, 4, 200
	if testing.Short() {
		n = 20_000
	}
	compareMemory(b, "B/key", func(x *memorySide) (float64, error) {
		var c crowd
		grown, err := x.grow(b, func() (err error) {
			if c, err = newCrowd(x.server.address, connections, x.writes.begin); err != nil {
				return err
			}
			share := n / connections
			return c.each(func(i int) error { return writeKeys(c[i], x.writes, i*share, (i+1)*share, depth) })
		})
		return grown / float64(n), errors.Join(err, c.close())
	})
}

// writeKeys writes keys from first to end, with up to depth requests under way.
func writeKeys(s *socket, say writeSpeaker, first, end, depth int) error {
	if err := s.send(say.request(fillKey(first))); err != nil {
		return err
	}
	unit, err := say.reply(s)
	if err != nil {
		return err
	}
	for at := first + 1; at < end; at += depth {
		var requests []byte
		n := min(depth, end-at)
		for i := range n {
			requests = append(requests, say.request(fillKey(at+i))...)
		}
		if err := s.send(requests); err != nil {
			return err
		}
		if _, err := s.receive(n * unit); err != nil {
			return err
		}
	}
	return nil
}

// A memorySide is a server whose memory is measured.
type memorySide struct {
	name   string
	server *child
	keys   keySpeaker
	writes writeSpeaker
}

// A keySpeaker subscribes to further keys with a socket that listens.
type keySpeaker interface {
	speaker
	subscribe(s *socket, first, end int) error // from first to before end; those before first are subscribed
}

// compareMemory measures a new process of rtdb and one of Redis.
func compareMemory(b *testing.B, unit string, measure func(x *memorySide) (float64, error)) {
	program := buildRTDB(b)
	for b.Loop() {
		sides := []*memorySide{{name: "rtdb", server: startRTDB(b, program), keys: webSocketSpeaker{}, writes: webSocketWrites{}}}
		if redis := startRedis(b, "--maxclients", "15000"); redis != nil {
			sides = append(sides, &memorySide{name: "redis", server: redis, keys: redisSpeaker{}, writes: redisWrites{}})
		}
		var all []float64
		for _, x := range sides {
			grown, err := measure(x)
			if err != nil {
				b.Fatalf("%s: %v", x.name, err)
			}
			b.ReportMetric(grown, x.name+"-"+unit)
			all = append(all, grown)
		}
		if len(all) == 2 {
			b.ReportMetric(all[0]/all[1], "x-redis")
		}
	}
	b.ReportMetric(0, "ns/op")
}

// grow returns by how many bytes the server's memory has grown some time after work has ended.
func (x *memorySide) grow(b *testing.B, work func() error) (float64, error) {
	b.Helper()
	x.server.rest(b)
	before := x.server.resident(b)
	if err := work(); err != nil {
		return 0, err
	}
	time.Sleep(memoryWait())
	return float64(x.server.resident(b) - before), nil
}

// memoryWait is how long after the last request the memory is measured.
func memoryWait() time.Duration {
	if testing.Short() {
		return 100 * time.Millisecond
	}
	return 2 * time.Second
}
