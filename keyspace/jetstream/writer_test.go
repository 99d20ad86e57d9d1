package jetstream_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"time"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
)

// A tally is the value of the keys that all writers write to. Each write adds one to the score
// of its writer. So a write that is lost, or made twice, shows in the value.
type tally struct {
	Scores map[int]score `json:"scores"`
	Twice  int           `json:"twice,omitempty"` // writes that came again
}

// A score says which writes of a writer a key has.
type score struct{ Last, Count int }

func parseTally(value []byte) tally {
	c := tally{Scores: map[int]score{}}
	if value != nil {
		if err := json.Unmarshal(value, &c); err != nil {
			panic(fmt.Sprintf("a key has the value %q: %v", value, err))
		}
	}
	return c
}

// add returns the value after a writer's write with a number.
func add(value []byte, writer, number int) []byte {
	c := parseTally(value)
	s := c.Scores[writer]
	if number <= s.Last {
		c.Twice++
	}
	c.Scores[writer] = score{number, s.Count + 1}
	b, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return b
}

// An event is a writer's report about a write.
type event struct {
	Kind    string // try; then ack, not (it was not made) or unknown
	Writer  int
	Key     string
	Number  int    // of the writer's writes to the key
	Version uint64 // of an ack
	Value   string // of an ack
	Err     string
	Took    time.Duration
}

// A writer writes to keys, one write after the other, until its context ends.
type writer struct {
	number int
	ks     *keyspace.Keyspace
	keys   int
	pace   time.Duration // between two writes
	tell   func(event)
}

func (w *writer) run(ctx context.Context) {
	random := rand.New(rand.NewPCG(uint64(w.number), 1))
	ticker := time.NewTicker(w.pace)
	defer ticker.Stop()
	numbers := map[string]int{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		key := fmt.Sprintf("k/%d", random.IntN(w.keys))
		numbers[key]++
		e := event{Kind: "try", Writer: w.number, Key: key, Number: numbers[key]}
		w.tell(e)
		began := time.Now()
		made, err := w.write(key, e.Number)
		e.Took = time.Since(began)
		var mismatch *keyspace.VersionError
		switch {
		case err == nil:
			e.Kind, e.Version, e.Value = "ack", made.Version, string(made.Value)
		case errors.As(err, &mismatch):
			e.Kind = "not"
		case errors.Is(err, keyspace.ErrUnavailable) && !errors.Is(err, keyspace.ErrUnknownOutcome):
			e.Kind, e.Err = "not", err.Error()
		default:
			e.Kind, e.Err = "unknown", err.Error()
		}
		w.tell(e)
	}
}

// write makes a write: a merge, or now and then a write with a condition.
func (w *writer) write(key string, number int) (keyspace.Entry, error) {
	c := keyspace.Change{Merge: func(old []byte) ([]byte, error) { return add(old, w.number, number), nil }}
	if number%4 == 0 {
		now, err := w.ks.Get(key)
		if err != nil && !errors.Is(err, keyspace.ErrNotFound) {
			return now, err
		}
		c = keyspace.Change{Value: add(now.Value, w.number, number), If: func(v uint64) bool { return v == now.Version }}
	}
	return w.ks.Write(context.Background(), key, c)
}

// If the variable nodeURL is set, the process is a node that writes until it is killed. It
// prints the events of its writers, and ends if its input does.
const nodeURL = "RTDB_TEST_NODE_URL"

// firstWriter is the variable with the number of the first writer of such a process. It is at
// least firstRemote.
const (
	firstWriter = "RTDB_TEST_FIRST_WRITER"
	firstRemote = 1000
)

func runNode(url string) {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	first, err := strconv.Atoi(os.Getenv(firstWriter))
	if err != nil {
		panic(err)
	}
	s, err := jetstream.Open(jetstream.Options{URL: url, Node: "remote"})
	if err != nil {
		panic(err)
	}
	ks, err := keyspace.Open(keyspace.Options{Store: s})
	if err != nil {
		panic(err)
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range 4 {
		w := &writer{number: first + i, ks: ks, keys: trialKeys, pace: 5 * time.Millisecond, tell: func(e event) {
			b, err := json.Marshal(e)
			if err != nil {
				panic(err)
			}
			mu.Lock()
			defer mu.Unlock()
			_, _ = os.Stdout.Write(append(b, '\n')) // the test reads it, or has ended
		}}
		all.Go(func() { w.run(context.Background()) })
	}
	all.Wait()
}

// readEvents passes the events of such a process to tell until its output ends.
func readEvents(r io.Reader, tell func(event)) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) == nil {
			tell(e)
		}
	}
}
