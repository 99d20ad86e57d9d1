package demo

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"rtdb/transport/client"
)

const (
	sensorsPerHall = 100
	sensorTick     = 50 * time.Millisecond // between two groups of writes
	sensorWriters  = 16                    // each has one write in flight
)

// A reading is the value of a sensor.
type reading struct {
	Celsius float64 `json:"celsius"`
	N       int     `json:"n"` // counts the writes of the key, from 1
}

// A sensor is one key that is written once an interval.
type sensor struct {
	key  string
	walk *walk
	n    int
}

// newSensors returns count sensors in halls of 100.
func newSensors(count int, seed uint64) []*sensor {
	all := make([]*sensor, count)
	for i := range all {
		all[i] = &sensor{
			key:  fmt.Sprintf("sensors/%02d/%03d", i/sensorsPerHall+1, i%sensorsPerHall+1),
			walk: newWalk(seed, uint64(i), 14, 30),
		}
	}
	return all
}

func (s *sensor) write(ctx context.Context, c *client.Client) error {
	s.n++
	_, err := client.Set(ctx, c, s.key, reading{s.walk.next(), s.n})
	return err
}

// writeSensors writes each sensor once an interval until ctx ends, or until an error comes
// that does not pass. If the server is slow, the sensors are written less often. ready is
// called when each sensor was tried once.
func writeSensors(ctx context.Context, c *client.Client, all []*sensor, interval time.Duration, ready func()) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var writing, beginning sync.WaitGroup
	for some := range slices.Chunk(all, max(1, (len(all)+sensorWriters-1)/sensorWriters)) {
		beginning.Add(1)
		writing.Go(func() {
			group := sensorGroup{ctx: ctx, c: c, fail: fail}
			group.write(some)
			beginning.Done()
			group.repeat(some, interval)
		})
	}
	beginning.Wait()
	ready()
	<-ctx.Done()
	writing.Wait()
	if cause := context.Cause(ctx); cause != ctx.Err() {
		return cause
	}
	return nil
}

// A sensorGroup writes some of the sensors, one after another.
type sensorGroup struct {
	ctx  context.Context
	c    *client.Client
	fail context.CancelCauseFunc
}

func (g *sensorGroup) write(some []*sensor) {
	for _, s := range some {
		if g.ctx.Err() != nil {
			return
		}
		if err := s.write(g.ctx, g.c); err != nil && g.ctx.Err() == nil && !isPassing(err) {
			g.fail(err)
		}
	}
}

// repeat writes a share of the sensors each tick, so that an interval has all of them.
func (g *sensorGroup) repeat(some []*sensor, interval time.Duration) {
	ticker := time.NewTicker(sensorTick)
	defer ticker.Stop()
	due := 0.0 // sensors to write now
	for next := 0; ; {
		select {
		case <-ticker.C:
		case <-g.ctx.Done():
			return
		}
		for due += float64(len(some)) * float64(sensorTick) / float64(interval); due >= 1; due-- {
			g.write(some[next : next+1])
			next = (next + 1) % len(some)
		}
	}
}
