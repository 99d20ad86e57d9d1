package transport_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// BenchmarkDurableWrites measures writes of WebSockets, each of which waits for its reply,
// to 10,000 keys. It compares a server that keeps its state in a directory with one that does
// not, and with Redis.
func BenchmarkDurableWrites(b *testing.B) {
	for _, writers := range []int{1, 1000} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) { compareDurableWrites(b, writers) })
	}
}

func compareDurableWrites(b *testing.B, writers int) {
	rounds, length := 5, 2*time.Second
	if testing.Short() {
		rounds, length, writers = 1, 50*time.Millisecond, min(writers, 50)
	}
	sides := []*writeSide{{name: "rtdb"}, {name: "always"}, {name: "100ms"}}
	for _, x := range sides {
		x.server = startChild(b, x.name)
	}
	for _, fsync := range []string{"always", "everysec"} {
		if server := startRedis(b, "--appendonly", "yes", "--appendfsync", fsync); server != nil {
			sides = append(sides, &writeSide{name: "redis-" + fsync, server: server, speaker: redisWrites{}})
		}
	}
	for b.Loop() {
		for range rounds {
			for _, x := range sides {
				if err := x.round(b, writers, 10_000, 1, length); err != nil {
					b.Fatalf("%s: %v", x.name, err)
				}
			}
		}
	}
	for _, x := range sides {
		b.ReportMetric(median(x.rates), x.name+"-writes/s")
		b.ReportMetric(median(x.costs), x.name+"-ns/write")
	}
	ratio := func(x, to int, unit string) {
		var all []float64
		for i := range sides[x].rates {
			all = append(all, sides[x].rates[i]/sides[to].rates[i])
		}
		b.ReportMetric(median(all), unit)
	}
	ratio(1, 0, "always-x-memory")
	ratio(2, 0, "100ms-x-memory")
	if len(sides) == 5 {
		ratio(1, 3, "always-x-redis")
		ratio(2, 4, "100ms-x-redis")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkDurableDevices is BenchmarkWritesDevices for a server that keeps its state in a
// directory.
func BenchmarkDurableDevices(b *testing.B) {
	var sides []*writeSide
	program := buildRTDB(b)
	for _, fsync := range []string{"always", "100ms"} {
		sides = append(sides, &writeSide{name: fsync, speaker: webSocketWrites{}, server: startDurableRTDB(b, program, fsync)})
	}
	for _, fsync := range []string{"always", "everysec"} {
		if server := startRedis(b, "--maxclients", "15000", "--appendonly", "yes", "--appendfsync", fsync); server != nil {
			sides = append(sides, &writeSide{name: "redis-" + fsync, server: server, speaker: redisWrites{}})
		}
	}
	compareDevices(b, sides)
	if len(sides) == 4 {
		b.ReportMetric(median(sides[0].costs)/median(sides[2].costs), "always-x-redis")
		b.ReportMetric(median(sides[1].costs)/median(sides[3].costs), "100ms-x-redis")
	}
}

// BenchmarkDurableFanout measures the cost of a delivery for a server that keeps its state in
// a directory: 1000 writes a second of one key, each to 1000 sockets. The rate is fixed,
// because a connection that waits for the disk writes less often, and fewer updates share a
// system call.
func BenchmarkDurableFanout(b *testing.B) {
	compare(b, shape{keys: 1, subscribers: 1000, publishers: 8, window: 200, rate: 1000}, "always", "100ms")
}

// BenchmarkDurableLatency measures the time from a write to its reply at 10,000 writes a
// second from 1000 WebSockets, and compares its 99th percentile with that of a loop that
// appends 100 bytes to a file and makes them durable.
func BenchmarkDurableLatency(b *testing.B) {
	rounds, length, rate := 5, 2*time.Second, 10_000
	if testing.Short() {
		rounds, length, rate = 1, 50*time.Millisecond, 1000
	}
	sides := []*latencySide{{name: "always"}, {name: "rtdb"}}
	for _, x := range sides {
		x.server = startChild(b, x.name)
	}
	var bare, ratios []float64
	for b.Loop() {
		for range rounds {
			for _, x := range sides {
				x.round(b, length, rate)
			}
			alone, err := syncAlone(filepath.Join(b.TempDir(), "bare"), length/4)
			if err != nil {
				b.Fatal(err)
			}
			slices.Sort(alone)
			bare = append(bare, milliseconds(alone[len(alone)*99/100]))
			ratios = append(ratios, sides[0].p99s[len(sides[0].p99s)-1]/bare[len(bare)-1])
		}
	}
	for _, x := range sides {
		b.ReportMetric(median(x.medians), x.name+"-p50-ms")
		b.ReportMetric(median(x.p99s), x.name+"-p99-ms")
	}
	b.ReportMetric(median(bare), "bare-p99-ms")
	b.ReportMetric(median(ratios), "x-bare")
	b.ReportMetric(0, "ns/op")
}

// A latencySide is one of the servers whose latencies are measured.
type latencySide struct {
	name          string
	server        *child
	medians, p99s []float64 // milliseconds
}

func (x *latencySide) round(b *testing.B, length time.Duration, rate int) {
	b.Helper()
	l, err := newWriteLoad(x.server.address, webSocketWrites{}, 1000, 10_000, 1)
	if err != nil {
		b.Fatal(err)
	}
	x.server.rest(b)
	took, err := l.runPaced(length, rate)
	if err = errors.Join(err, l.close()); err != nil {
		b.Fatal(err)
	}
	slices.Sort(took)
	x.medians = append(x.medians, milliseconds(took[len(took)/2]))
	x.p99s = append(x.p99s, milliseconds(took[len(took)*99/100]))
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

// runPaced writes at a rate, each time with a writer that waits for nothing, and returns
// the time of each reply.
func (l *writeLoad) runPaced(d time.Duration, rate int) (took []time.Duration, err error) {
	timer, err := newTimer(time.Second / time.Duration(rate))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, timer.close()) }()
	if err := l.poller.add(timer, timerNumber); err != nil {
		return nil, err
	}
	idle := slices.Clone(l.writers)
	sent := make(map[*writer]time.Time, len(idle))
	due, end := 0, time.Now().Add(d)
	for len(sent) > 0 || time.Now().Before(end) {
		for ; due > 0 && len(idle) > 0 && time.Now().Before(end); due-- {
			w := idle[0]
			idle = idle[1:]
			sent[w] = time.Now()
			if err := w.write(1); err != nil {
				return nil, err
			}
		}
		events, err := l.poller.wait()
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			if e.Fd == timerNumber {
				if _, err := timer.read(l.buffer[:8]); err != nil {
					return nil, err
				}
				due += int(binary.NativeEndian.Uint64(l.buffer[:]))
				continue
			}
			w := l.writers[e.Fd]
			n, err := w.read(l.buffer[:])
			if err != nil || n == 0 {
				return nil, errors.Join(err, errors.New("a connection has ended"))
			}
			if w.bytes += n; w.bytes == w.sent*l.unit {
				took = append(took, time.Since(sent[w]))
				delete(sent, w)
				idle = append(idle, w)
			}
		}
	}
	return took, nil
}

// syncAlone appends to a file again and again, makes each append durable, and returns the
// time of each.
func syncAlone(path string, d time.Duration) (took []time.Duration, err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text := make([]byte, 100)
	for end := time.Now().Add(d); time.Now().Before(end); {
		began := time.Now()
		if _, err := f.Write(text); err != nil {
			return nil, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

// BenchmarkDurableStart measures a server with a million keys of 64 bytes: the time that it
// takes to start after a kill, the memory that it then takes, compared with that before the
// kill, and the most that it took on disk while every key was written over 20 times,
// compared with the bytes of the keys and values.
func BenchmarkDurableStart(b *testing.B) {
	keys, times := 1_000_000, 20
	if testing.Short() {
		keys, times = 2000, 2
	}
	for b.Loop() {
		dir := b.TempDir()
		server := startChildIn(b, "100ms", dir)
		most := int64(0)
		for range times + 1 {
			most = max(most, fill(b, server.address, dir, keys))
		}
		server.ask(b, "collect")
		before := server.resident(b)
		server.kill(b)

		began := time.Now()
		server = startChildIn(b, "100ms", dir)
		answer, err := http.Get("http://" + server.address + "/data/" + fillKey(keys-1))
		if err != nil || answer.StatusCode != http.StatusOK {
			b.Fatalf("the last key: %v, %v", answer, err)
		}
		_ = answer.Body.Close()
		b.ReportMetric(time.Since(began).Seconds(), "s-to-start")
		b.ReportMetric(float64(server.resident(b))/float64(before), "x-memory")
		server.ask(b, "collect")
		b.ReportMetric(float64(server.resident(b))/float64(before), "x-memory-collected")
		b.ReportMetric(float64(most)/float64(keys*(len(fillKey(0))+len(fillValue))), "x-data-on-disk")
	}
	b.ReportMetric(0, "ns/op")
}

func fillKey(i int) string { return fmt.Sprintf("device/%06d", i) }

var fillValue = `"` + string(bytes.Repeat([]byte("x"), 62)) + `"`

// fill writes every key once, by batches, and returns the most that a directory took.
func fill(b *testing.B, address, dir string, keys int) (most int64) {
	const batch = 1000
	for first := 0; first < keys; first += batch {
		body := []byte(`{"items":[`)
		for i := first; i < min(first+batch, keys); i++ {
			body = fmt.Appendf(body, `{"key":%q,"value":%s},`, fillKey(i), fillValue)
		}
		body = append(bytes.TrimRight(body, ","), "]}"...)
		answer, err := http.Post("http://"+address+"/data", "application/json", bytes.NewReader(body))
		if err != nil || answer.StatusCode != http.StatusOK {
			b.Fatalf("a batch: %v, %v", answer, err)
		}
		_ = answer.Body.Close()
		used := int64(0)
		_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil // it was removed meanwhile
			}
			if info, err := d.Info(); err == nil && !d.IsDir() {
				used += info.Size()
			}
			return nil
		})
		most = max(most, used)
	}
	return most
}
