package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"rtdb/keyspace"
)

// checkSharedConditions requires that exactly one of several keyspaces wins if all write a
// key under the same condition, and that the others learn the winner's version.
func checkSharedConditions(c *cluster) {
	members := []*keyspace.Keyspace{c.join(), c.join(), c.join()}
	last := map[string]uint64{}
	for round := range 30 {
		key := fmt.Sprint("k/", round%3)
		entries, errs := make([]keyspace.Entry, len(members)), make([]error, len(members))
		var racing sync.WaitGroup
		for i, ks := range members {
			racing.Go(func() {
				change := setTo(fmt.Sprint(round, "/", i))
				if round%6 >= 3 && i == 0 {
					change = keyspace.Change{Delete: true}
				}
				entries[i], errs[i] = ks.Write(context.Background(), key, onlyAt(last[key], change))
			})
		}
		racing.Wait()
		winner, losers := -1, 0
		for i, err := range errs {
			var refused *keyspace.VersionError
			switch {
			case err == nil && winner < 0:
				winner = i
			case err == nil:
				c.Errorf("round %d: two keyspaces have written %s at version %d", round, key, last[key])
			case errors.As(err, &refused):
				losers++
			default:
				c.Errorf("round %d: %v", round, err)
			}
		}
		if winner < 0 || losers != len(members)-1 {
			c.Fatalf("round %d: winner %d and %d losers of %d keyspaces: %v", round, winner, losers, len(members), errs)
		}
		last[key] = entries[winner].Version
		if entries[winner].Value == nil {
			last[key] = 0
		}
		for i, err := range errs {
			if refused := (*keyspace.VersionError)(nil); i != winner && errors.As(err, &refused) && refused.Current != last[key] {
				c.Errorf("round %d: a loser was told version %d, want %d", round, refused.Current, last[key])
			}
		}
	}
}

// checkSharedMerges requires that no merge is lost, and that each one sees another value.
func checkSharedMerges(c *cluster) {
	const each = 40
	members := []*keyspace.Keyspace{c.join(), c.join()}
	var mu sync.Mutex
	seen := map[string]bool{}
	var merging sync.WaitGroup
	for i := range 4 {
		merging.Go(func() {
			for range each {
				e := c.mustWrite(members[i%2], "counter", keyspace.Change{Merge: increment})
				mu.Lock()
				if seen[string(e.Value)] {
					c.Errorf("two merges have made %s", e.Value)
				}
				seen[string(e.Value)] = true
				mu.Unlock()
			}
		})
	}
	merging.Wait()
	for i, ks := range members {
		c.await(fmt.Sprintf("keyspace %d has all of %d merges", i, 4*each), func() bool {
			e, err := ks.Get("counter")
			return err == nil && string(e.Value) == fmt.Sprint(4*each)
		})
	}
}

// checkSharedNewest requires that each request sees the writes that were answered before it
// on another keyspace.
func checkSharedNewest(c *cluster) {
	a, b := c.join(), c.join()
	want := func(what string, err, want error) {
		c.Helper()
		if !errors.Is(err, want) {
			c.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	ctx := context.Background()
	for n := range 10 {
		key := fmt.Sprint("k/", n)
		made := c.mustWrite(a, key, setTo("1"))
		made = c.mustWrite(b, key, onlyAt(made.Version, setTo("2")))
		if e := c.mustWrite(a, key, keyspace.Change{Merge: increment}); string(e.Value) != "3" {
			c.Errorf("a merge of 2 has made %s, want 3", e.Value)
		} else {
			made = e
		}
		var refused *keyspace.VersionError
		if _, err := b.Write(ctx, key, onlyAt(0, setTo("4"))); !errors.As(err, &refused) || refused.Current != made.Version {
			c.Errorf("a write that needs a key without a value: %v, want a refusal at version %d", err, made.Version)
		}
		c.mustWrite(b, key, keyspace.Change{Delete: true})
		_, err := a.Delete(ctx, key)
		want("a delete after a delete", err, keyspace.ErrNotFound)
		_, err = a.Write(ctx, key, keyspace.Change{Touch: true, TTL: time.Hour})
		want("a touch after a delete", err, keyspace.ErrNotFound)
		again := c.mustWrite(a, key, onlyAt(0, setTo("5")))
		if again.Version <= made.Version {
			c.Errorf("a key that was made again has version %d, want more than %d", again.Version, made.Version)
		}
		c.mustWrite(b, key, keyspace.Change{Touch: true, TTL: time.Hour})
		if e := c.mustWrite(a, key, keyspace.Change{Merge: increment}); string(e.Value) != "6" || e.TTL == 0 {
			c.Errorf("a merge of 5 has made %s with the time to live %v, want 6 and an hour", e.Value, e.TTL)
		}
		c.mustWrite(b, key, keyspace.Change{Delete: true})
		c.mustWrite(a, key, setTo("7"))
		c.mustWrite(b, key, keyspace.Change{Delete: true})
	}
}

// checkSharedRuns requires that many writes of one key at once are made, whatever their
// size: the keyspace divides them into runs that the store takes.
func checkSharedRuns(c *cluster) {
	a, b := c.join(), c.join()
	w := c.watch(b)
	var changes []keyspace.KeyedChange
	for n := range 100 {
		changes = append(changes, setKey("small", fmt.Sprint(n)))
	}
	for n := range 10 {
		changes = append(changes, setKey("large", strings.Repeat(fmt.Sprint(n), 100<<10)))
	}
	last := map[string]uint64{}
	for i, r := range a.WriteAll(context.Background(), changes) {
		switch key := changes[i].Key; {
		case r.Err != nil:
			c.Fatalf("write %d: %v", i, r.Err)
		case r.Entry.Version <= last[key]:
			c.Errorf("version %d of %s after %d", r.Entry.Version, key, last[key])
		default:
			last[key] = r.Entry.Version
			w.want(r.Entry.Version)
		}
	}
	w.awaitWanted()
	w.compareOrder()
}

// A sharedOp is an operation on one key, for the check of linearizability.
type sharedOp struct {
	kind  string // set, delete, setIf, deleteIf, append
	value string
	want  uint64 // of setIf and deleteIf
}

type sharedResult struct {
	value   string
	version uint64
	refused bool // the condition did not hold: version is the current one
	absent  bool // there was nothing to delete
}

// sharedModel is one key. A state is a sharedResult with a value and a version.
var sharedModel = porcupine.Model{
	Init: func() any { return sharedResult{} },
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(sharedResult), input.(sharedOp), output.(sharedResult)
		current := s.version
		if s.value == "" {
			current = 0
		}
		conditional := strings.HasSuffix(in.kind, "If")
		switch {
		case out.refused:
			return conditional && in.want != current && out.version == current, s
		case conditional && in.want != current:
			return false, s
		case out.absent:
			return in.value == "" && s.value == "", s
		case in.kind == "append":
			in.value = s.value + in.value
		case in.value == "" && s.value == "":
			return false, s
		}
		return out.value == in.value && out.version > s.version, sharedResult{value: in.value, version: out.version}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
}

// checkSharedLinear requires that the writes of one key on three keyspaces are as if there
// was one keyspace.
func checkSharedLinear(c *cluster) {
	members := []*keyspace.Keyspace{c.join(), c.join(), c.join()}
	var clock atomic.Int64 // real time may stand still in a test
	histories := make([][]porcupine.Operation, 6)
	var running sync.WaitGroup
	for i := range histories {
		running.Go(func() {
			seen := uint64(0)
			for n := range 25 {
				in := sharedOp{kind: []string{"set", "setIf", "append", "deleteIf", "setIf", "append", "delete"}[(i+n)%7], want: seen}
				change := keyspace.Change{Delete: true}
				if !strings.HasPrefix(in.kind, "delete") {
					in.value = fmt.Sprintf("%d.%d ", i, n)
					change = setTo(in.value)
				}
				switch {
				case in.kind == "append":
					change = keyspace.Change{Merge: func(old []byte) ([]byte, error) { return append(slices.Clone(old), in.value...), nil }}
				case strings.HasSuffix(in.kind, "If"):
					change = onlyAt(in.want, change)
				}
				call := clock.Add(1)
				e, err := members[i%3].Write(context.Background(), "k", change)
				back := clock.Add(1)
				out := sharedResult{value: string(e.Value), version: e.Version}
				var refused *keyspace.VersionError
				switch {
				case errors.As(err, &refused):
					out.refused, out.version = true, refused.Current
				case errors.Is(err, keyspace.ErrNotFound):
					out.absent = true
				case err != nil:
					c.Errorf("%+v: %v", in, err)
					return
				}
				if seen = out.version; e.Value == nil && !out.refused {
					seen = 0
				}
				histories[i] = append(histories[i], porcupine.Operation{ClientId: i, Input: in, Output: out, Call: call, Return: back})
			}
		})
	}
	running.Wait()
	if got := porcupine.CheckOperationsTimeout(sharedModel, slices.Concat(histories...), patience); got != porcupine.Ok {
		c.Errorf("the history of 6 clients of three keyspaces is not linearizable: %s", got)
	}
}
