package jetstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
)

// BenchmarkNode measures the cost of a write for each node, besides deliveries: the one that
// makes it, and another one that only receives it by the feed. It writes 2000 times a second,
// and then as fast as it can. Most writes share a system call then, so they cost less.
//
// With 3 servers on the machine's 2 processors, the servers take the rest of the time.
func BenchmarkNode(b *testing.B) {
	for _, rate := range []int{2000, 0} {
		b.Run(fmt.Sprintf("rate=%d", rate), func(b *testing.B) {
			rounds, length := 5, 2*time.Second
			if testing.Short() {
				rounds, length = 1, 50*time.Millisecond
			}
			c := natstest.Start(b, natstest.Options{Servers: 1, Lazy: true})
			_, store := openStore(b, c)
			var writer, reader, bytes, rates []float64
			for b.Loop() {
				for range rounds {
					cpu, in, place := processCPU(), store.Received(), store.Status().Place
					x := runChild(b, c, childTask{Rate: rate, Keys: 1000, Length: length})
					eventually(b, patience, "the feed is there", func() bool { return store.Status().Place >= x.Place })
					n := float64(store.Status().Place - place)
					reader = append(reader, microseconds(processCPU()-cpu)/n)
					bytes = append(bytes, float64(store.Received()-in)/n)
					writer = append(writer, x.Cost)
					rates = append(rates, n/length.Seconds())
				}
			}
			b.ReportMetric(median(writer), "µs/write")
			b.ReportMetric(median(reader), "µs/fed")
			b.ReportMetric(median(bytes), "B/fed")
			b.ReportMetric(median(rates), "writes/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkStart measures how long a node takes to load a million keys of 64 bytes, and the
// memory of its process then.
func BenchmarkStart(b *testing.B) {
	keys := 1_000_000
	if testing.Short() {
		keys = 2000
	}
	c := natstest.Start(b, natstest.Options{Servers: 1, Lazy: true})
	ks, _ := openStore(b, c)
	const writers = 2000
	var running sync.WaitGroup
	for w := range writers {
		running.Go(func() {
			for i := w; i < keys; i += writers {
				if _, err := ks.Set(b.Context(), fmt.Sprintf("device/%07d/state", i), benchValue); err != nil {
					b.Errorf("write: %v", err)
					return
				}
			}
		})
	}
	running.Wait()
	if err := ks.Shutdown(context.Background()); err != nil {
		b.Fatal(err)
	}
	var took, cpu, resident, peak []float64
	for b.Loop() {
		x := runChild(b, c, childTask{})
		if x.Loaded != keys {
			b.Fatalf("%d keys were loaded, want %d", x.Loaded, keys)
		}
		took, cpu = append(took, x.Start.Seconds()), append(cpu, x.StartCPU.Seconds())
		resident, peak = append(resident, float64(x.Resident>>20)), append(peak, float64(x.Peak>>20))
	}
	b.ReportMetric(median(took), "s-to-start")
	b.ReportMetric(median(cpu), "CPU-s-to-start")
	b.ReportMetric(median(resident), "MiB")
	b.ReportMetric(median(peak), "MiB-peak")
	b.ReportMetric(0, "ns/op")
}

// childVariable has the task of a process that this test binary becomes: a node of its own,
// whose CPU time and memory are not those of the benchmark.
const childVariable = "RTDB_BENCHMARK_NODE"

type childTask struct {
	URL    string
	Rate   int // writes a second; 0: as many as it can
	Keys   int
	Length time.Duration
}

type childResult struct {
	Start          time.Duration // until the state was loaded
	StartCPU       time.Duration // CPU time until then
	Loaded         int           // keys
	Resident, Peak int           // bytes of memory after the start; the peak is before a collection
	Cost           float64       // CPU time for a write, in µs
	Place          uint64        // of the feed after the last write
}

// init makes the process a child if childVariable is set. Such a process runs no tests.
func init() {
	text, ok := os.LookupEnv(childVariable)
	if !ok {
		return
	}
	var task childTask
	var result childResult
	err := json.Unmarshal([]byte(text), &task)
	if err == nil {
		result, err = task.run()
	}
	if err = errors.Join(err, json.NewEncoder(os.Stdout).Encode(result)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runChild(b *testing.B, c *natstest.Cluster, task childTask) (x childResult) {
	b.Helper()
	task.URL = c.URL()
	text, err := json.Marshal(task)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &x)
	}
	if err != nil {
		b.Fatalf("a node in a process of its own: %v", err)
	}
	return x
}

func (t *childTask) run() (x childResult, err error) {
	began := time.Now()
	s, err := jetstream.Open(jetstream.Options{URL: t.URL, Node: "child"})
	if err != nil {
		return x, err
	}
	ks, err := keyspace.Open(keyspace.Options{Store: s})
	if err != nil {
		return x, err
	}
	x.Start, x.StartCPU, x.Loaded = time.Since(began), processCPU(), ks.Keys()
	x.Peak = ownMemory("VmHWM")
	debug.FreeOSMemory()
	x.Resident = ownMemory("VmRSS")
	before := processCPU()
	writes, err := t.write(ks)
	x.Cost = microseconds(processCPU()-before) / float64(max(writes, 1))
	x.Place = s.Status().Place
	return x, errors.Join(err, ks.Shutdown(context.Background()))
}

// write makes the writes, at most one at a time for each key.
func (t *childTask) write(ks *keyspace.Keyspace) (writes int, err error) {
	var running sync.WaitGroup
	var mu sync.Mutex
	due := make(chan string, t.Keys)
	for range t.Keys {
		running.Go(func() {
			for key := range due {
				_, failure := ks.Set(context.Background(), key, benchValue)
				mu.Lock()
				writes++
				err = errors.Join(err, failure)
				mu.Unlock()
			}
		})
	}
	began := time.Now()
	for i := 0; time.Since(began) < t.Length; i++ {
		if t.Rate > 0 {
			<-time.After(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(t.Rate))))
		}
		due <- benchKey(i % t.Keys)
	}
	close(due)
	running.Wait()
	return writes, err
}

// ownMemory returns a field of /proc/self/status in bytes (proc_pid_status(5)).
func ownMemory(field string) int {
	text, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			return n << 10
		}
	}
	return 0
}
