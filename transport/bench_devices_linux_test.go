package transport_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"
)

// BenchmarkWritesDevices measures 5000 WebSockets, each of which writes its own key once a second,
// and waits for its reply. It compares with as many connections to Redis that do the same.
func BenchmarkWritesDevices(b *testing.B) {
	sides := []*writeSide{{name: "rtdb", speaker: webSocketWrites{}, server: startRTDB(b, buildRTDB(b))}}
	if redis := startRedis(b, "--maxclients", "15000"); redis != nil {
		sides = append(sides, &writeSide{name: "redis", speaker: redisWrites{}, server: redis})
	}
	compareDevices(b, sides)
	if len(sides) == 2 {
		b.ReportMetric(median(sides[0].costs)/median(sides[1].costs), "x-redis")
	}
}

// compareDevices measures the CPU of a write of devices of each side in turn.
func compareDevices(b *testing.B, sides []*writeSide) {
	rounds, devices, length := 3, 5000, 4*time.Second
	if testing.Short() {
		rounds, devices, length = 1, 1000, 500*time.Millisecond
	}
	takeTurns(b, rounds, sides, func(i int) error { return sides[i].roundOfDevices(b, devices, length) })
}

// takeTurns measures sides in turn, and reports the CPU of a write of each. round measures the
// side with a number.
func takeTurns(b *testing.B, rounds int, sides []*writeSide, round func(i int) error) {
	b.Helper()
	for b.Loop() {
		for range rounds {
			for i, x := range sides {
				if err := round(i); err != nil {
					b.Fatalf("%s: %v", x.name, err)
				}
			}
		}
	}
	for _, x := range sides {
		b.ReportMetric(median(x.costs), x.name+"-ns/write")
	}
	b.ReportMetric(0, "ns/op")
}

// roundOfDevices measures the CPU of writes of devices. Each has written twice before.
func (x *writeSide) roundOfDevices(b *testing.B, devices int, length time.Duration) (err error) {
	b.Helper()
	l, err := newWriteLoad(x.server.address, x.speaker, devices, devices, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if err := l.pace(devices, time.Second); err != nil {
		return err
	}
	x.server.rest(b)
	cpu := x.server.cpu(b)
	if err := l.pace(devices, length); err != nil {
		return err
	}
	x.server.rest(b)
	cpu = x.server.cpu(b) - cpu
	x.costs = append(x.costs, float64(cpu.Nanoseconds())/(float64(devices)*length.Seconds()))
	return nil
}

// pace makes each writer in turn write once, at a rate a second, and waits for all replies.
func (l *writeLoad) pace(rate int, length time.Duration) error {
	timer, err := newTimer(time.Second / time.Duration(rate))
	if err != nil {
		return err
	}
	defer timer.close()
	if err := l.poller.add(timer, timerNumber); err != nil {
		return err
	}
	total := int(float64(rate) * length.Seconds())
	for sent, due, heard := 0, 0, 0; heard < total; {
		for ; sent < min(due, total); sent++ {
			if err := l.writers[sent%len(l.writers)].write(1); err != nil {
				return err
			}
		}
		events, err := l.poller.wait()
		if err != nil {
			return err
		}
		for _, e := range events {
			if e.Fd == timerNumber {
				if _, err := timer.read(l.buffer[:8]); err != nil {
					return err
				}
				due += int(binary.NativeEndian.Uint64(l.buffer[:]))
				continue
			}
			n, err := l.writers[e.Fd].read(l.buffer[:])
			switch {
			case err != nil:
				return err
			case n != l.unit:
				return fmt.Errorf("%d bytes are no reply", n)
			}
			heard++
		}
	}
	return nil
}
