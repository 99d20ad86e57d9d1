package keyspace_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"rtdb/keyspace"
)

// A register is what the checker knows of a keyspace: one key of it.
type register interface {
	Get(key string) (keyspace.Entry, error)
	Set(ctx context.Context, key string, value []byte) (uint64, error)
	Delete(ctx context.Context, key string) (uint64, error)
}

type registerInput struct {
	op    string // get, set, delete
	value string
}

type registerOutput struct {
	value   string // of get
	version uint64 // of the value read, or of the write
	found   bool
}

type registerState struct {
	value   string // "" is none
	version uint64 // of the last write
}

// registerModel is one key: a value, and a version that rises with each write.
var registerModel = porcupine.Model{
	Init: func() any { return registerState{} },
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(registerState), input.(registerInput), output.(registerOutput)
		switch {
		case in.op == "get" && !out.found, in.op == "delete" && !out.found:
			return s.value == "", s
		case in.op == "get":
			return out.value == s.value && out.version == s.version, s
		default:
			legal := out.version > s.version && (in.op == "set" || s.value != "")
			return legal, registerState{value: in.value, version: out.version}
		}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
}

// history has clients use one key at once, and records what each saw when.
func history(t *testing.T, r register, clients, each int, seed uint64) []porcupine.Operation {
	t.Helper()
	var mu sync.Mutex
	var ops []porcupine.Operation
	start := time.Now()
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(c)))
			for i := range each {
				in := registerInput{op: []string{"get", "get", "set", "set", "delete"}[random.IntN(5)]}
				if in.op == "set" {
					in.value = fmt.Sprintf("%d.%d", c, i)
				}
				var out registerOutput
				var err error
				call := time.Since(start)
				switch in.op {
				case "get":
					var e keyspace.Entry
					e, err = r.Get("k")
					out = registerOutput{value: string(e.Value), version: e.Version}
				case "set":
					out.version, err = r.Set(t.Context(), "k", []byte(in.value))
				case "delete":
					out.version, err = r.Delete(t.Context(), "k")
				}
				back := time.Since(start)
				out.found = !errors.Is(err, keyspace.ErrNotFound)
				if err != nil && out.found {
					t.Errorf("%s: %v", in.op, err)
					return
				}
				mu.Lock()
				ops = append(ops, porcupine.Operation{
					ClientId: c, Input: in, Output: out, Call: int64(call), Return: int64(back),
				})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return ops
}

func TestOneKeyIsLinearizable(t *testing.T) {
	for seed := range uint64(30) {
		ops := history(t, open(t, keyspace.Options{}), 6, 150, seed)
		if got := porcupine.CheckOperationsTimeout(registerModel, ops, 30*time.Second); got != porcupine.Ok {
			t.Fatalf("history %d of %d operations: %s", seed, len(ops), got)
		}
	}
}

// stale is a keyspace broken on purpose: now and then it answers a read with
// what it read the time before.
type stale struct {
	*keyspace.Keyspace
	reads atomic.Uint64
	last  atomic.Pointer[keyspace.Entry]
}

func (s *stale) Get(key string) (keyspace.Entry, error) {
	if last := s.last.Load(); last != nil && s.reads.Add(1)%20 == 0 {
		return *last, nil
	}
	e, err := s.Keyspace.Get(key)
	if err == nil {
		s.last.Store(&e)
	}
	return e, err
}

// lossy is broken in another way: it answers a write that it did not make.
type lossy struct {
	*keyspace.Keyspace
	writes atomic.Uint64
	last   atomic.Uint64
}

func (l *lossy) Set(ctx context.Context, key string, value []byte) (uint64, error) {
	if l.writes.Add(1)%10 == 0 {
		return l.last.Load() + 1, nil
	}
	v, err := l.Keyspace.Set(ctx, key, value)
	l.last.Store(v)
	return v, err
}

func TestTheCheckerCatchesABrokenKeyspace(t *testing.T) {
	for name, broken := range map[string]func(*keyspace.Keyspace) register{
		"stale reads": func(ks *keyspace.Keyspace) register { return &stale{Keyspace: ks} },
		"lost writes": func(ks *keyspace.Keyspace) register { return &lossy{Keyspace: ks} },
	} {
		t.Run(name, func(t *testing.T) {
			ops := history(t, broken(open(t, keyspace.Options{})), 6, 150, 1)
			if got := porcupine.CheckOperationsTimeout(registerModel, ops, 30*time.Second); got != porcupine.Illegal {
				t.Fatalf("a broken keyspace passed: %s", got)
			}
		})
	}
}
