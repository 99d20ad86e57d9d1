package journal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"rtdb/keyspace"
	"rtdb/transport/transporttest"
)

// A registerOp is an operation of one key.
type registerOp struct {
	write bool
	value string // to be written; "": the key is deleted
}

// A registerResult is its result.
type registerResult struct {
	value   string // that was read; "" if no value was read
	version uint64 // 0: a read or a delete found nothing
	unknown bool   // a write has no answer: it takes effect at any time, or never
}

// A registerState is the state of the key.
type registerState struct {
	value   string
	version uint64
	above   bool // the version is not known, but above version
}

// registerModel is one key whose server may end before it answers.
var registerModel = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{registerState{}} },
	Step: func(state, input, output any) []any {
		s, in, out := state.(registerState), input.(registerOp), output.(registerResult)
		switch {
		case in.write && out.unknown:
			return []any{s, registerState{in.value, s.version, true}}
		case in.write && out.version == 0: // a delete of nothing
			if in.value == "" && s.value == "" {
				return []any{s}
			}
		case in.write:
			if out.version > s.version && (in.value != "" || s.value != "") {
				return []any{registerState{in.value, out.version, false}}
			}
		case out.value != s.value:
		case out.value == "":
			return []any{s}
		case out.version == s.version && !s.above, out.version > s.version && s.above:
			return []any{registerState{s.value, out.version, false}}
		}
		return nil
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
}).ToModel()

// restarts makes clients use one key of a keyspace whose process is killed now and then.
// lose, if it is not nil, returns the disk that the next process finds.
func restarts(t *testing.T, seed uint64, lose func(d *disk) *disk) []porcupine.Operation {
	t.Helper()
	d := newDisk()
	start := func() *keyspace.Keyspace {
		j, err := open(d.start(), "/data", Options{})
		if err != nil {
			t.Fatal(err)
		}
		j.limits = smallLimits
		ks, err := keyspace.Open(keyspace.Options{Store: j})
		if err != nil {
			t.Fatal(err)
		}
		return ks
	}
	var serving sync.RWMutex // a process that was killed answers nobody
	ks := start()
	var mu sync.Mutex
	var ops []porcupine.Operation
	began := time.Now()
	var clients sync.WaitGroup
	answered := make(chan struct{}, 10_000)
	for c := range 5 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(c)))
			for n := range 60 {
				in := registerOp{write: random.IntN(2) == 0}
				if in.write && random.IntN(4) > 0 {
					in.value = fmt.Sprintf("%d.%d", c, n)
				}
				var out registerResult
				var err error
				serving.RLock()
				call := time.Since(began)
				switch {
				case !in.write:
					var e keyspace.Entry
					e, err = ks.Get("k")
					out = registerResult{value: string(e.Value), version: e.Version}
				case in.value == "":
					out.version, err = ks.Delete(context.Background(), "k")
				default:
					out.version, err = ks.Set(context.Background(), "k", []byte(in.value))
				}
				back := int64(time.Since(began))
				serving.RUnlock()
				if err != nil && !errors.Is(err, keyspace.ErrNotFound) {
					out.unknown, back = true, math.MaxInt64
				}
				mu.Lock()
				ops = append(ops, porcupine.Operation{ClientId: c, Input: in, Output: out, Call: int64(call), Return: back})
				mu.Unlock()
				answered <- struct{}{}
			}
		})
	}
	for range 4 {
		for range 50 {
			<-answered
		}
		d.start() // the process is killed
		serving.Lock()
		_ = ks.Shutdown(context.Background())
		if lose != nil {
			d = lose(d)
		}
		ks = start()
		serving.Unlock()
	}
	clients.Wait()
	if err := ks.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	return ops
}

// Histories over kills, and over power cuts, are linearizable.
func TestRestartsAreLinearizable(t *testing.T) {
	seeds := uint64(20)
	if transporttest.UnderRace {
		seeds = 3
	}
	for seed := range seeds {
		random := rand.New(rand.NewPCG(seed, 0))
		for name, lose := range map[string]func(*disk) *disk{"kills": nil, "power cuts": func(d *disk) *disk { return d.afterCut(random) }} {
			ops := restarts(t, seed, lose)
			unknown := 0
			for _, op := range ops {
				if op.Output.(registerResult).unknown {
					unknown++
				}
			}
			if got := porcupine.CheckOperationsTimeout(registerModel, ops, 20*time.Second); got != porcupine.Ok {
				t.Fatalf("%s, history %d of %d operations, %d of them without an answer: %s", name, seed, len(ops), unknown, got)
			}
		}
	}
}

// A disk that loses synced data is caught, unless it happens to lose nothing.
func TestTheCheckerCatchesALostWrite(t *testing.T) {
	for seed := range uint64(20) {
		ops := restarts(t, seed, func(d *disk) *disk {
			files := d.files()
			newest := ""
			for name := range files {
				if _, ok := parseName(name, segmentSuffix); ok {
					newest = max(newest, name)
				}
			}
			files[newest] = files[newest][:headerSize]
			return diskOf(files)
		})
		if porcupine.CheckOperationsTimeout(registerModel, ops, 20*time.Second) == porcupine.Illegal {
			return
		}
	}
	t.Error("the lost writes passed")
}
