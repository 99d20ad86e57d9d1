package keyspace_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"
	"pgregory.net/rapid"

	"rtdb/keyspace"
	"rtdb/keyspace/storetest"
)

// A step is a command of the model check: one client asks one of the keyspaces.
type step struct {
	op     string
	member int
	key    string
}

func (s step) String() string { return fmt.Sprintf("%s %s on %d", s.op, s.key, s.member) }

// A plainKey is the state of a key according to the model.
type plainKey struct {
	value   string
	version uint64 // 0: no value
	expires time.Time
}

// A plainModel runs steps on several keyspaces, and compares the answers with a map.
type plainModel struct {
	hub     *storetest.Hub
	members []*keyspace.Keyspace
	stores  []*storetest.HubStore
	inboxes []*inbox
	keys    map[string]plainKey
	last    uint64
	writes  int
}

const modelMembers = 3

// open opens the keyspace of a member.
func (m *plainModel) open(i int) error {
	m.stores[i] = m.hub.Open()
	ks, err := keyspace.Open(keyspace.Options{Store: m.stores[i]})
	if err != nil {
		return err
	}
	m.members[i], m.inboxes[i] = ks, new(inbox)
	return ks.Subscribe(context.Background(), keyspace.Pattern("#"), m.inboxes[i], keyspace.Start{})
}

// run runs a step, and returns an error if a keyspace answers it wrongly.
func (m *plainModel) run(n int, s step) error {
	ks, now := m.members[s.member], m.keys[s.key]
	if !now.expires.IsZero() && !time.Now().Before(now.expires) {
		now = plainKey{}
	}
	next := plainKey{value: fmt.Sprint(n)}
	var change keyspace.Change
	var want error
	switch s.op {
	case "set":
		change.Value = []byte(next.value)
	case "setFor":
		change.Value, change.TTL, next.expires = []byte(next.value), time.Hour, time.Now().Add(time.Hour)
	case "merge":
		change.Merge = func(old []byte) ([]byte, error) { return fmt.Appendf(slices.Clone(old), ",%d", n), nil }
		next.value, next.expires = fmt.Sprintf("%s,%d", now.value, n), now.expires
	case "setIf":
		change = keyspace.Change{Value: []byte(next.value), If: func(v uint64) bool { return v == now.version }}
	case "setIfNot":
		change, want = keyspace.Change{Value: []byte(next.value), If: func(v uint64) bool { return v != now.version }}, &keyspace.VersionError{}
	case "delete", "touch":
		if change, next = (keyspace.Change{Delete: true}), (plainKey{}); s.op == "touch" {
			change = keyspace.Change{Touch: true, TTL: 2 * time.Hour}
			next = plainKey{now.value, now.version, time.Now().Add(2 * time.Hour)}
		}
		if now.version == 0 {
			want = keyspace.ErrNotFound
		}
	case "scribble":
		m.hub.Scribble(s.key)
		return nil
	case "forget":
		m.hub.ForgetDeletes()
		return nil
	case "cut", "connect":
		m.stores[s.member].CutOff(s.op == "cut")
		time.Sleep(5 * time.Second) // keys that have expired meanwhile are deleted
		return nil
	case "wait":
		time.Sleep(31 * time.Minute) // no key expires at this moment
		return nil
	case "restart":
		m.stores[s.member].CutOff(false)
		time.Sleep(5 * time.Second)
		if err := ks.Shutdown(context.Background()); err != nil {
			return err
		}
		return m.open(s.member)
	}
	e, err := ks.Write(context.Background(), s.key, change)
	var refused *keyspace.VersionError
	switch {
	case errors.Is(err, keyspace.ErrCutOff):
		return nil
	case want != nil:
		if errors.As(err, &refused) {
			if refused.Current != now.version {
				return fmt.Errorf("refused at version %d, want %d", refused.Current, now.version)
			}
			err = &keyspace.VersionError{}
		}
		if !errors.Is(err, want) && err == nil || fmt.Sprint(err) != fmt.Sprint(want) {
			return fmt.Errorf("%v, want %v", err, want)
		}
		return nil
	case err != nil:
		return err
	case string(e.Value) != next.value:
		return fmt.Errorf("answered %q, want %q", e.Value, next.value)
	}
	if s.op != "touch" {
		if m.writes++; e.Version <= m.last {
			return fmt.Errorf("version %d after %d", e.Version, m.last)
		}
		m.last, next.version = e.Version, e.Version
	} else if e.Version != now.version {
		return fmt.Errorf("a touch returned version %d, want %d", e.Version, now.version)
	}
	if next.value == "" {
		next = plainKey{}
	}
	m.keys[s.key] = next
	if got, err := ks.Get(s.key); next.version == 0 && !errors.Is(err, keyspace.ErrNotFound) || string(got.Value) != next.value {
		return fmt.Errorf("a read after it has seen %q, %v", got.Value, err)
	}
	return nil
}

// compare compares all keyspaces with the model, when nothing is on its way any more.
func (m *plainModel) compare() error {
	count := 0
	for key, want := range m.keys {
		if !want.expires.IsZero() && !time.Now().Before(want.expires) {
			want = plainKey{}
		}
		if want.version != 0 {
			count++
		}
		for i, ks := range m.members {
			e, err := ks.Get(key)
			ttl := time.Duration(0)
			if !want.expires.IsZero() {
				ttl = time.Until(want.expires)
			}
			if string(e.Value) != want.value || e.Version != want.version || err != nil && want.version != 0 || (e.TTL-ttl).Abs() > time.Second {
				return fmt.Errorf("keyspace %d holds %q of %s at %d, %v, for %v; want %+v", i, e.Value, key, e.Version, err, e.TTL, want)
			}
		}
	}
	for i, ks := range m.members {
		names, _ := ks.Names()
		if ks.Keys() != count || names != count || ks.Waiting() != 0 || ks.InFlight() != 0 || ks.Positions() > count || ks.Expiries() > count {
			return fmt.Errorf("keyspace %d: %d keys, %d actors, %d waiting, %d in flight, %d positions, %d expiries; want %d keys",
				i, ks.Keys(), names, ks.Waiting(), ks.InFlight(), ks.Positions(), ks.Expiries(), count)
		}
		if ks.Revision() < m.last {
			return fmt.Errorf("keyspace %d has revision %d, want %d", i, ks.Revision(), m.last)
		}
		last := map[string]uint64{}
		m.inboxes[i].mu.Lock()
		for _, u := range m.inboxes[i].updates {
			if u.Version <= last[u.Target.Name] {
				return fmt.Errorf("keyspace %d delivered version %d of %s after %d", i, u.Version, u.Target.Name, last[u.Target.Name])
			}
			last[u.Target.Name] = u.Version
		}
		m.inboxes[i].mu.Unlock()
	}
	return nil
}

// Clients of several keyspaces, one after the other, get the answers that one plain map would
// give, while keyspaces are cut off and restarted, records mean nothing, and deletes are
// forgotten.
func TestSharedKeyspacesAgreeWithAMap(t *testing.T) {
	ops := []string{"set", "set", "setFor", "merge", "merge", "setIf", "setIfNot", "delete", "delete", "touch", "touch", "scribble", "forget", "cut", "connect", "wait", "restart"}
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
			return step{rapid.SampledFrom(ops).Draw(rt, "op"), rapid.IntRange(0, modelMembers-1).Draw(rt, "member"), rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "key")}
		}), 1, 60).Draw(rt, "steps")
		echo, newest, slow := rapid.Bool().Draw(rt, "echo"), rapid.Bool().Draw(rt, "newest"), rapid.Bool().Draw(rt, "slow")
		var failure error
		synctest.Test(t, func(t *testing.T) {
			o := storetest.HubOptions{Echo: echo, Newest: newest}
			if slow {
				o.Delay = func() time.Duration { return rand.N(10 * time.Millisecond) }
			}
			m := &plainModel{
				hub: storetest.NewHub(o), keys: map[string]plainKey{}, members: make([]*keyspace.Keyspace, modelMembers),
				stores: make([]*storetest.HubStore, modelMembers), inboxes: make([]*inbox, modelMembers),
			}
			for i := range m.members {
				failure = errors.Join(failure, m.open(i))
			}
			for n, s := range steps {
				if err := m.run(n, s); err != nil {
					failure = fmt.Errorf("step %d, %v: %w", n, s, err)
					break
				}
			}
			for _, store := range m.stores {
				store.CutOff(false)
			}
			settleDown()
			if failure == nil {
				failure = m.compare()
			}
			for _, ks := range m.members {
				failure = errors.Join(failure, ks.Shutdown(context.Background()))
			}
		})
		if failure != nil {
			rt.Fatal(failure)
		}
	})
}

// A racedState is a key in a history with unknown outcomes. If vague is true, the version is
// only known to be above version.
type racedState struct {
	value   string
	version uint64
	vague   bool
}

type racedInput struct {
	value string
	want  uint64 // the version that the write needs
	any   bool   // it needs none, and appends
}

type racedOutput struct {
	value   string
	version uint64
	refused bool
	unknown bool
}

// racedModel allows that a write whose outcome is unknown is made at any time, or never.
var racedModel = porcupine.NondeterministicModel{
	Init: func() []any { return []any{racedState{}} },
	Step: func(state, input, output any) []any {
		s, in, out := state.(racedState), input.(racedInput), output.(racedOutput)
		holds := in.any || s.version == in.want && !s.vague || s.vague && in.want > s.version
		value := in.value
		if in.any {
			value = s.value + value
		}
		switch {
		case out.refused && in.any:
			return nil
		case out.refused && s.vague && out.version > s.version && in.want != out.version:
			return []any{racedState{value: s.value, version: out.version}}
		case out.refused && !s.vague && out.version == s.version && in.want != out.version:
			return []any{s}
		case out.refused:
			return nil
		case out.unknown && holds:
			return []any{s, racedState{value: value, version: max(s.version, in.want), vague: true}}
		case out.unknown:
			return []any{s}
		case holds && out.version > s.version && out.value == value:
			return []any{racedState{value: value, version: out.version}}
		}
		return nil
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
}

// race makes clients of three keyspaces write one key, with conditions, while some answers
// are lost. It returns their history.
func race(t *testing.T, broken bool) (ops []porcupine.Operation) {
	hub := storetest.NewHub(storetest.HubOptions{
		Delay: func() time.Duration { return rand.N(3 * time.Millisecond) },
		Outcome: func() storetest.Outcome {
			if rand.IntN(8) > 0 {
				return storetest.Answered
			}
			return storetest.Outcome(rand.IntN(4))
		},
	})
	members := make([]*keyspace.Keyspace, 3)
	for i := range members {
		members[i], _ = openOn(t, hub)
	}
	var clock atomic.Int64
	var mu sync.Mutex
	var running sync.WaitGroup
	for c := range 6 {
		running.Go(func() {
			seen := uint64(0)
			for n := range 12 {
				in := racedInput{value: fmt.Sprintf("%d.%d ", c, n), want: seen, any: n%3 == 0}
				change := appendTo(in.value)
				if !in.any {
					change = keyspace.Change{Value: []byte(in.value), If: func(v uint64) bool { return v == in.want || broken }}
				}
				call := clock.Add(1)
				e, err := members[c%3].Write(t.Context(), "k", change)
				back := clock.Add(1)
				out := racedOutput{value: string(e.Value), version: e.Version}
				var refused *keyspace.VersionError
				switch {
				case errors.As(err, &refused):
					out.refused, out.version = true, refused.Current
				case errors.Is(err, keyspace.ErrUnknownOutcome):
					out.unknown, back = true, 1<<40 // it may take effect later
				case err != nil:
					t.Errorf("write: %v", err)
				}
				if !out.unknown {
					seen = out.version
				}
				mu.Lock()
				ops = append(ops, porcupine.Operation{ClientId: c, Input: in, Output: out, Call: call, Return: back})
				mu.Unlock()
			}
		})
	}
	running.Wait()
	return ops
}

func TestSharedKeyspacesAreLinearizable(t *testing.T) {
	histories := 20
	for range histories {
		var ops []porcupine.Operation
		synctest.Test(t, func(t *testing.T) { ops = race(t, false) })
		if got := porcupine.CheckOperationsTimeout(racedModel.ToModel(), ops, 30*time.Second); got == porcupine.Illegal {
			var all []string
			for _, o := range ops {
				all = append(all, fmt.Sprintf("%d-%d %s", o.Call, o.Return, racedModel.DescribeOperation(o.Input, o.Output)))
			}
			t.Fatalf("a history of %d operations is %s:\n%s", len(ops), got, strings.Join(all, "\n"))
		}
	}
}

// The checker of histories finds a keyspace that ignores conditions.
func TestTheCheckerCatchesBrokenSharedKeyspaces(t *testing.T) {
	var ops []porcupine.Operation
	synctest.Test(t, func(t *testing.T) { ops = race(t, true) })
	if got := porcupine.CheckOperationsTimeout(racedModel.ToModel(), ops, 30*time.Second); got != porcupine.Illegal {
		t.Errorf("the history of a broken keyspace is %s", got)
	}
}
