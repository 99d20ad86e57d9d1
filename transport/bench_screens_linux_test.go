package transport_test

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// BenchmarkScreens measures 5000 WebSockets, each of which writes its own key once a second and waits
// for its reply, and 1000 more, each of which is subscribed to 50 of the keys. It compares with as
// many connections to Redis, in which a write is only published.
func BenchmarkScreens(b *testing.B) {
	l := screens{devices: 5000, screens: 1000, each: 50}
	rounds, length := 3, 4
	if testing.Short() {
		l = screens{devices: 500, screens: 100, each: 50}
		rounds, length = 1, 1
	}
	publishes := redisPublishes{subscribers: l.screens * l.each / l.devices}
	sides := []*screensSide{{
		writeSide: writeSide{name: "rtdb", speaker: webSocketWrites{}, server: startRTDB(b, buildRTDB(b))},
		updates:   webSocketSpeaker{},
		watch: func(s *socket, first, end int) error {
			return errors.Join(s.shakeHands("/ws"), webSocketSpeaker{}.subscribe(s, first, end))
		},
	}}
	if redis := startRedis(b, "--maxclients", "15000"); redis != nil {
		sides = append(sides, &screensSide{
			writeSide: writeSide{name: "redis", speaker: publishes, server: redis},
			updates:   redisSpeaker{},
			watch:     func(s *socket, first, end int) error { return redisSpeaker{}.watch(s, first, end, 0) },
		})
	}
	var measured []*writeSide
	for _, x := range sides {
		measured = append(measured, &x.writeSide)
	}
	takeTurns(b, rounds, measured, func(i int) error { return sides[i].round(b, l, length) })
	if len(sides) == 2 {
		b.ReportMetric(median(sides[0].costs)/median(sides[1].costs), "x-redis")
	}
}

// screens are the numbers of devices, of screens, and of the keys that each screen watches.
type screens struct{ devices, screens, each int }

// A screensSide is one of the servers.
type screensSide struct {
	writeSide
	updates speaker
	watch   func(s *socket, first, end int) error
}

// round measures the CPU of writes for some seconds, and waits for all updates.
func (x *screensSide) round(b *testing.B, n screens, seconds int) (err error) {
	watching, err := newCrowd(x.server.address, n.screens, func(*socket) error { return nil })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, watching.close()) }()
	err = watching.each(func(i int) error {
		first := i * n.each % n.devices
		return x.watch(watching[i], first, first+n.each)
	})
	if err != nil {
		return err
	}
	writes := (1 + 1 + seconds) * n.devices // newWriteLoad makes the first ones
	seen := make(chan error, 1)
	go func() { seen <- watching.read(writes * n.screens * n.each / n.devices * len(x.updates.update(0))) }()

	l, err := newWriteLoad(x.server.address, x.speaker, n.devices, n.devices, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if err := l.pace(n.devices, time.Second); err != nil {
		return err
	}
	x.server.rest(b)
	cpu := x.server.cpu(b)
	if err := l.pace(n.devices, time.Duration(seconds)*time.Second); err != nil {
		return err
	}
	if err := <-seen; err != nil {
		return err
	}
	x.server.rest(b)
	cpu = x.server.cpu(b) - cpu
	x.costs = append(x.costs, float64(cpu.Nanoseconds())/float64(seconds*n.devices))
	return nil
}

// read reads that many bytes from all sockets together.
func (c crowd) read(total int) (err error) {
	p, err := newPoller()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	for i, s := range c {
		if err := p.add(s, i); err != nil {
			return err
		}
	}
	buffer := make([]byte, 64<<10)
	for total > 0 {
		events, err := p.wait()
		if err != nil {
			return fmt.Errorf("%w: %d bytes are missing", err, total)
		}
		for _, e := range events {
			n, err := c[e.Fd].read(buffer)
			if err != nil || n == 0 {
				return errors.Join(err, errors.New("a connection has ended"))
			}
			total -= n
		}
	}
	return nil
}

// redisPublishes publish to Redis, which keeps nothing of it. The reply is the number of subscribers.
type redisPublishes struct{ subscribers int }

func (redisPublishes) begin(*socket) error { return nil }

func (redisPublishes) request(key string) []byte {
	return redisCommand("PUBLISH", key, string(sampleValue))
}

func (r redisPublishes) reply(s *socket) (int, error) {
	want := fmt.Sprintf(":%d\r\n", r.subscribers)
	reply, err := s.receive(len(want))
	if err == nil && string(reply) != want {
		err = fmt.Errorf("the reply to PUBLISH is %q", reply)
	}
	return len(want), err
}
