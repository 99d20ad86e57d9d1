package jetstream_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
	"rtdb/transport/transporttest"
)

// An operation is a request of a client: to read, set or delete a key, the latter two also if
// the key has a version.
type operation struct {
	kind  string // read, set, delete, setIf or deleteIf
	value string
	want  uint64 // 0: the key has no value
}

// An outcome is the answer that the client gets.
type outcome struct {
	value   string // of a read; "": none
	version uint64 // of the value or of the write; the current one if the condition did not hold
	refused bool   // the condition did not hold
	absent  bool   // there was no value
	unknown bool   // it may have been done, now or later
}

// A register is the state of the key. The version is not known after a write whose outcome was
// unknown, until somebody learns it.
type register struct {
	value   string
	version uint64 // of the value; 0: no value, or an unknown version
	highest uint64 // of the versions that are known
}

// current reports whether version may be that of the value, 0 for no value. If so, it
// returns the register with the version.
func (r register) current(version uint64) (register, bool) {
	switch {
	case r.value == "":
		return r, version == 0
	case r.version == 0 && version > r.highest:
		r.version, r.highest = version, version
	}
	return r, r.version == version
}

// write returns the register after a write. version is 0 if it is not known.
func (r register) write(value string, version uint64) (register, bool) {
	if version == 0 {
		return register{value: value, highest: r.highest}, true
	}
	return register{value: value, version: version, highest: version}, version > r.highest
}

var registerModel = porcupine.Model{
	Init: func() any { return register{} },
	Step: func(state, input, output any) (bool, any) {
		r, in, out := state.(register), input.(operation), output.(outcome)
		next, ok := r.step(in, out)
		return ok, next
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
}

func (r register) step(in operation, out outcome) (register, bool) {
	isConditional := in.kind == "setIf" || in.kind == "deleteIf"
	switch {
	case out.refused:
		next, ok := r.current(out.version)
		return next, ok && in.want != out.version
	case in.kind == "read":
		next, ok := r.current(out.version)
		return next, ok && r.value == out.value
	case out.absent:
		return r, r.value == "" && (!isConditional || in.want == 0)
	case isConditional:
		next, ok := r.current(in.want)
		if !ok {
			return r, out.unknown // then it is not done
		}
		r = next
	}
	if in.value == "" && r.value == "" {
		return r, out.unknown // a delete of nothing
	}
	return r.write(in.value, out.version)
}

var errOnlyRead = errors.New("only a read")

// do does an operation on a node. ok is false if the operation was surely not done.
func do(t *testing.T, n node, key string, in operation) (out outcome, ok bool) {
	var c keyspace.Change
	switch in.kind {
	case "read": // a read that sees all writes that were answered before, on any node
		c.Merge = func(old []byte) ([]byte, error) {
			out.value = string(old)
			return nil, errOnlyRead
		}
		c.If = func(version uint64) bool {
			out.version = version
			return true
		}
	default:
		if c.Delete = in.value == ""; !c.Delete {
			c.Value = []byte(in.value)
		}
		if in.kind == "setIf" || in.kind == "deleteIf" {
			c.If = func(version uint64) bool { return version == in.want }
		}
	}
	e, err := n.Write(t.Context(), key, c)
	var mismatch *keyspace.VersionError
	switch {
	case err == nil:
		return outcome{version: e.Version}, true
	case errors.Is(err, errOnlyRead):
		return out, true
	case errors.As(err, &mismatch):
		return outcome{version: mismatch.Current, refused: true}, true
	case errors.Is(err, keyspace.ErrNotFound):
		return outcome{absent: true}, true
	case errors.Is(err, keyspace.ErrUnknownOutcome):
		return outcome{unknown: true}, in.kind != "read"
	case !errors.Is(err, keyspace.ErrUnavailable):
		t.Errorf("%+v: %v", in, err)
	}
	return out, false
}

// race lets clients on all nodes use one key until stop is closed.
func race(t *testing.T, nodes []node, key string, stop <-chan struct{}, done func()) []porcupine.Operation {
	t.Helper()
	var mu sync.Mutex
	var all []porcupine.Operation
	begin := time.Now()
	var running sync.WaitGroup
	for client := range 3 * len(nodes) {
		running.Go(func() {
			random := rand.New(rand.NewPCG(uint64(client), 1))
			ticker := time.NewTicker(choose(50*time.Millisecond, 20*time.Millisecond))
			defer ticker.Stop()
			n, seen := nodes[client%len(nodes)], uint64(0)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-ticker.C:
				}
				in := operation{kind: []string{"read", "set", "delete", "setIf", "setIf", "setIf", "deleteIf"}[random.IntN(7)], want: seen}
				if in.kind == "set" || in.kind == "setIf" {
					in.value = fmt.Sprintf("%d.%d", client, i)
				}
				call := time.Since(begin)
				out, ok := do(t, n, key, in)
				back := int64(time.Since(begin))
				if !ok {
					continue
				}
				if out.unknown {
					back = math.MaxInt64 // it may be done at any time from the call on
				} else {
					seen = out.version
					done()
				}
				mu.Lock()
				all = append(all, porcupine.Operation{ClientId: client, Input: in, Output: out, Call: int64(call), Return: back})
				mu.Unlock()
				if out.unknown {
					client += 1000 // a client of porcupine has one operation at a time
				}
			}
		})
	}
	running.Wait()
	return all
}

// Clients on two nodes race for a key while the leader of the stream is killed. There is one
// order of all operations that explains the outcome of each.
func TestRacingClientsAreLinearizable(t *testing.T) {
	t.Parallel()
	c := three(t)
	var both []node
	for i := range 2 {
		both = append(both, start(t, jetstream.Options{URL: c.URL(), Node: fmt.Sprintf("n%d", i)}))
	}
	for round := range choose(1, 10) {
		checkRace(t, both, fmt.Sprintf("k%d", round), "the leader killed", func(await func(more int)) {
			leader := c.Server(c.Leader(t, jetstream.DefaultStream))
			leader.Kill()
			await(choose(30, 60))
			leader.Restart()
		})
	}
}

// One of the nodes gets no answers for a while, and then loses its connection.
func TestRacingClientsWhoseAnswersAreLost(t *testing.T) {
	longOnly(t)
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	proxy := transporttest.NewProxy(t, c.Server(0).Addr())
	both := []node{start(t, jetstream.Options{URL: c.URL(), Node: "n0"}), start(t, jetstream.Options{URL: "nats://" + proxy.Addr, Node: "n1"})}
	for round := range choose(2, 20) {
		checkRace(t, both, fmt.Sprintf("k%d", round), "answers lost", func(await func(more int)) {
			for range 3 {
				proxy.Mute(true)
				await(20) // on the other node
				proxy.Cut()
				proxy.Mute(false)
				await(40)
			}
		})
	}
}

func checkRace(t *testing.T, nodes []node, key, fault string, spoil func(await func(more int))) {
	t.Helper()
	var mu sync.Mutex
	done := 0
	await := func(more int) {
		mu.Lock()
		from := done
		mu.Unlock()
		eventually(t, patience, fmt.Sprintf("%d operations", more), func() bool {
			mu.Lock()
			defer mu.Unlock()
			return done >= from+more
		})
	}
	stop := make(chan struct{})
	end := sync.OnceFunc(func() { close(stop) })
	var history []porcupine.Operation
	var racing sync.WaitGroup
	racing.Go(func() {
		history = race(t, nodes, key, stop, func() { mu.Lock(); defer mu.Unlock(); done++ })
	})
	defer racing.Wait()
	defer end()
	await(choose(30, 60))
	spoil(await)
	await(20)
	end()
	racing.Wait()
	unknown := 0
	for _, o := range history {
		if o.Output.(outcome).unknown {
			unknown++
		}
	}
	result := porcupine.CheckOperationsTimeout(registerModel, history, time.Minute)
	t.Logf("| racing clients on two nodes, %s | %d operations, %d of them unknown | linearizable: %s |", fault, len(history), unknown, result)
	if result != porcupine.Ok {
		t.Errorf("the history is %s", result)
	}
}

// The model explains a history if, and only if, there is an order that does.
func TestTheModelOfARegister(t *testing.T) {
	t.Parallel()
	type step struct {
		in  operation
		out outcome
	}
	set := func(value string, version uint64) step {
		return step{operation{kind: "set", value: value}, outcome{version: version}}
	}
	unknown := func(kind, value string, want uint64) step {
		return step{operation{kind, value, want}, outcome{unknown: true}}
	}
	read := func(value string, version uint64) step {
		return step{operation{kind: "read"}, outcome{value: value, version: version}}
	}
	refused := step{operation{"setIf", "x", 1}, outcome{version: 5, refused: true}}
	for name, c := range map[string]struct {
		steps []step
		want  porcupine.CheckResult
	}{
		"reads what was set":                     {[]step{set("a", 1), read("a", 1)}, porcupine.Ok},
		"a stale read":                           {[]step{set("a", 1), set("b", 2), read("a", 1)}, porcupine.Illegal},
		"versions fall":                          {[]step{set("a", 2), set("b", 1)}, porcupine.Illegal},
		"a lost write":                           {[]step{set("a", 1), set("b", 2), read("", 0)}, porcupine.Illegal},
		"an unknown write that was made":         {[]step{set("a", 1), unknown("set", "b", 0), read("b", 2)}, porcupine.Ok},
		"an unknown write that was not made":     {[]step{set("a", 1), unknown("set", "b", 0), read("a", 1)}, porcupine.Ok},
		"an unknown write that was made later":   {[]step{set("a", 1), unknown("set", "b", 0), read("a", 1), read("b", 2)}, porcupine.Ok},
		"an unknown write that was made twice":   {[]step{unknown("set", "b", 0), set("a", 2), read("b", 3), read("a", 2)}, porcupine.Illegal},
		"an unknown write whose condition fails": {[]step{set("a", 2), unknown("setIf", "b", 1), read("b", 3)}, porcupine.Illegal},
		"an unknown write whose condition holds": {[]step{set("a", 1), unknown("setIf", "b", 1), read("b", 5), refused}, porcupine.Ok},
		"a refusal that shows an unknown write":  {[]step{set("a", 1), unknown("set", "b", 0), refused, read("b", 5)}, porcupine.Ok},
		"a refusal that contradicts":             {[]step{set("a", 1), refused}, porcupine.Illegal},
	} {
		var history []porcupine.Operation
		for i, s := range c.steps {
			o := porcupine.Operation{ClientId: i, Input: s.in, Output: s.out, Call: int64(2 * i), Return: int64(2*i + 1)}
			if s.out.unknown {
				o.Return = math.MaxInt64
			}
			history = append(history, o)
		}
		if got := porcupine.CheckOperationsTimeout(registerModel, history, time.Minute); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
