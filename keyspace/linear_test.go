package keyspace_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"rtdb/keyspace"
)

// A register is the part of a keyspace that the checker uses, with one key.
type register interface {
	Get(key string) (keyspace.Entry, error)
	Set(ctx context.Context, key string, value []byte) (uint64, error)
	Delete(ctx context.Context, key string) (uint64, error)
	Write(ctx context.Context, key string, c keyspace.Change) (keyspace.Entry, error)
}

type registerInput struct {
	op    string // get, set, delete, setIf, deleteIf
	value string
	want  uint64 // of setIf and deleteIf: the version, 0 if the key has no value
}

type registerOutput struct {
	value   string // of get
	version uint64 // of the value read, or of the write; the current version if the write was refused
	found   bool
	refused bool // the condition did not hold
}

type registerState struct {
	value   string // "": no value
	version uint64 // of the last write
}

// registerModel is one key: a value, and a version that rises with each write.
var registerModel = porcupine.Model{
	Init: func() any { return registerState{} },
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(registerState), input.(registerInput), output.(registerOutput)
		current := s.version
		if s.value == "" {
			current = 0
		}
		switch {
		case out.refused:
			return out.version == current && in.want != current, s
		case strings.HasSuffix(in.op, "If") && in.want != current:
			return false, s
		case in.op == "deleteIf" && !out.found:
			return s.value == "", s
		case in.op == "get" && !out.found, in.op == "delete" && !out.found:
			return s.value == "", s
		case in.op == "get":
			return out.value == s.value && out.version == s.version, s
		default:
			legal := out.version > s.version && (in.value != "" || s.value != "")
			return legal, registerState{value: in.value, version: out.version}
		}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
}

// history makes several clients use one key at the same time, and records their
// operations with times.
func history(t *testing.T, r register, clients, each int, seed uint64) []porcupine.Operation {
	t.Helper()
	var mu sync.Mutex
	var ops []porcupine.Operation
	start := time.Now()
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(c)))
			seen := uint64(0) // the last version that the client saw
			for i := range each {
				in := registerInput{op: []string{"get", "get", "set", "delete", "setIf", "setIf", "deleteIf"}[random.IntN(7)]}
				if strings.HasPrefix(in.op, "set") {
					in.value = fmt.Sprintf("%d.%d", c, i)
				}
				if in.want = seen; random.IntN(4) == 0 {
					in.want = 0
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
				default:
					change := keyspace.Change{If: func(version uint64) bool { return version == in.want }}
					if change.Delete = in.value == ""; !change.Delete {
						change.Value = []byte(in.value)
					}
					var e keyspace.Entry
					e, err = r.Write(t.Context(), "k", change)
					out.version = e.Version
				}
				back := time.Since(start)
				var mismatch *keyspace.VersionError
				if out.refused = errors.As(err, &mismatch); out.refused {
					out.version, err = mismatch.Current, nil
				}
				seen = out.version
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

// stale is a keyspace that is broken on purpose: some reads return the result of the
// read before.
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

// lossy is broken in another way: some writes are answered but not made.
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

// unguarded is broken, too: another write may come between the check of a condition and
// the write.
type unguarded struct{ *keyspace.Keyspace }

func (u unguarded) Write(ctx context.Context, key string, c keyspace.Change) (keyspace.Entry, error) {
	e, err := u.Get(key)
	if err != nil && !errors.Is(err, keyspace.ErrNotFound) {
		return e, err
	}
	if !c.If(e.Version) {
		return e, &keyspace.VersionError{Current: e.Version}
	}
	runtime.Gosched()
	c.If = nil
	return u.Keyspace.Write(ctx, key, c)
}

func TestTheCheckerCatchesABrokenKeyspace(t *testing.T) {
	for name, broken := range map[string]func(*keyspace.Keyspace) register{
		"stale reads": func(ks *keyspace.Keyspace) register { return &stale{Keyspace: ks} },
		"lost writes": func(ks *keyspace.Keyspace) register { return &lossy{Keyspace: ks} },
		"unguarded":   func(ks *keyspace.Keyspace) register { return unguarded{ks} },
	} {
		t.Run(name, func(t *testing.T) {
			ops := history(t, broken(open(t, keyspace.Options{})), 6, 150, 1)
			if got := porcupine.CheckOperationsTimeout(registerModel, ops, 30*time.Second); got != porcupine.Illegal {
				t.Fatalf("a broken keyspace passed: %s", got)
			}
		})
	}
}
