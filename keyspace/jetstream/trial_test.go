package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
)

const (
	trialKeys = 6
	patience  = 60 * time.Second

	// commitLimit is the time after which a write fails: 8 s until a commit is given up, and a
	// margin for a slow machine. writeLimit has a further 8 s, because a commit that has a
	// conflict may be followed by another one, or by a barrier.
	commitLimit = 10 * time.Second
	writeLimit  = commitLimit + 8*time.Second
)

// A trial is a number of nodes with writers and subscribers while a fault happens. In the end
// it checks that nothing was lost, made twice, or told in a wrong order.
type trial struct {
	t       *testing.T
	url     string
	members []*member
	running sync.WaitGroup
	stop    context.CancelFunc
	writing context.Context
	number  int // of the next writer
	keys    int
	limit   time.Duration // of a write that fails

	mu       sync.Mutex
	began    time.Time // of the fault
	counts   map[scoreKey]*outcomes
	versions map[versionKey]string // the value of each version of each key
	found    violations
	tried    map[int]event // by writer: the write in flight
	longest  time.Duration // of a write that failed
	refusals map[string]int
}

type scoreKey struct {
	writer int
	key    string
}

// outcomes counts the writes of a writer to a key.
type outcomes struct{ tried, acked, not int }

type versionKey struct {
	key     string
	version uint64
}

// violations are the numbers of broken promises.
type violations struct{ lost, order, twice, gaps, contradictions int }

// A member is a node of a trial, and its subscriber.
type member struct {
	node
	trial  *trial
	acked  []time.Time // guarded by trial.mu
	writes bool        // it has writers
	gone   bool        // it was killed

	mu        sync.Mutex
	last      map[string]uint64 // the version that was delivered last, by key
	scores    map[string]tally
	delivered int
}

func newTrial(t *testing.T, url string, options ...jetstream.Options) *trial {
	t.Helper()
	r := &trial{
		t: t, url: url, keys: trialKeys, limit: writeLimit, counts: map[scoreKey]*outcomes{}, versions: map[versionKey]string{},
		tried: map[int]event{}, refusals: map[string]int{},
	}
	r.writing, r.stop = context.WithCancel(context.Background())
	t.Cleanup(func() { r.stop(); r.running.Wait() })
	for _, o := range options {
		if o.URL == "" {
			o.URL = url
		}
		r.join(start(t, o))
	}
	return r
}

// nodes returns the options of n nodes.
func nodes(n int) (all []jetstream.Options) {
	for i := range n {
		all = append(all, jetstream.Options{Node: fmt.Sprintf("n%d", i)})
	}
	return all
}

// join adds a node with a subscriber to everything.
func (r *trial) join(n node) *member {
	r.t.Helper()
	m := &member{node: n, trial: r, last: map[string]uint64{}, scores: map[string]tally{}}
	if err := n.Subscribe(r.t.Context(), keyspace.Pattern("k/#"), m, keyspace.Start{}); err != nil {
		r.t.Fatal(err)
	}
	r.members = append(r.members, m)
	return m
}

// Deliver checks that versions rise, and that no score falls.
func (m *member) Deliver(u *keyspace.Update) {
	m.trial.saw(u.Target.Name, u.Version, string(u.Value))
	now := parseTally(u.Value)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.delivered++
	bad := u.Version <= m.last[u.Target.Name]
	for writer, s := range m.scores[u.Target.Name].Scores {
		bad = bad || now.Scores[writer].Count < s.Count
	}
	m.last[u.Target.Name], m.scores[u.Target.Name] = u.Version, now
	if bad {
		m.trial.mu.Lock()
		defer m.trial.mu.Unlock()
		m.trial.found.order++
	}
}

// saw notes the value of a version, which must be the same for all.
func (r *trial) saw(key string, version uint64, value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := versionKey{key, version}
	if other, ok := r.versions[k]; ok && other != value {
		if r.found.contradictions++; r.found.contradictions > 3 {
			return
		}
		r.t.Errorf("version %d of %s is both %.100s and %.100s", version, key, other, value)
	}
	r.versions[k] = value
}

// write starts writers on a node.
func (r *trial) write(m *member, writers int, pace time.Duration) {
	m.writes = true
	for range writers {
		w := &writer{number: r.number, ks: m.Keyspace, keys: r.keys, pace: pace, tell: func(e event) { r.note(m, e) }}
		r.number++
		r.running.Go(func() { w.run(r.writing) })
	}
}

// writeEverywhere starts writers on all nodes.
func (r *trial) writeEverywhere() {
	for _, m := range r.members {
		r.write(m, choose(3, 16), choose(30*time.Millisecond, 4*time.Millisecond))
	}
}

// note notes an event of a writer. m is nil if it is in another process.
func (r *trial) note(m *member, e event) {
	if e.Kind == "ack" {
		r.saw(e.Key, e.Version, e.Value)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	k := scoreKey{e.Writer, e.Key}
	c := r.counts[k]
	if c == nil {
		c = &outcomes{}
		r.counts[k] = c
	}
	switch e.Kind {
	case "try":
		c.tried++
		return
	case "ack":
		c.acked++
		if m != nil {
			m.acked = append(m.acked, time.Now())
		}
	case "not":
		c.not++
	}
	if e.Err != "" {
		r.longest = max(r.longest, e.Took)
		r.refusals[e.Err]++
	}
}

// acked returns the number of acknowledged writes.
func (r *trial) acked() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.counts {
		n += c.acked
	}
	return n
}

// more waits until so many more writes were acknowledged, in CI ten times as many.
func (r *trial) more(n int) {
	r.t.Helper()
	n *= choose(1, 10)
	from := r.acked()
	eventually(r.t, patience, fmt.Sprintf("%d more writes", n), func() bool { return r.acked() >= from+n })
}

// fault notes that the fault begins now.
func (r *trial) fault() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.began = time.Now()
}

// healthy waits until each node that lives has written again.
func (r *trial) healthy() {
	r.t.Helper()
	since := time.Now()
	eventually(r.t, patience, "writes on all nodes", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, m := range r.members {
			if n := len(m.acked); m.writes && !m.gone && (n == 0 || m.acked[n-1].Before(since)) {
				return false
			}
		}
		return true
	})
}

// pauses returns the longest time without an acknowledgement after the fault began: on all
// nodes together, and on the node that waited longest.
func (r *trial) pauses() (all, worst time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	longest := func(acked []time.Time) (gap time.Duration) {
		last := r.began
		for _, at := range acked {
			if at.After(last) {
				gap, last = max(gap, at.Sub(last)), at
			}
		}
		return gap
	}
	var merged []time.Time
	for _, m := range r.members {
		merged = append(merged, m.acked...)
		if !m.gone {
			worst = max(worst, longest(m.acked))
		}
	}
	slices.SortFunc(merged, time.Time.Compare)
	return longest(merged), worst
}

// finish ends the writers, checks everything, and logs the figures of the fault.
func (r *trial) finish(fault string) {
	t := r.t
	t.Helper()
	r.healthy()
	r.stop()
	r.running.Wait()
	for _, m := range r.members {
		if !m.gone {
			r.settle(m)
		}
	}
	fresh := start(t, jetstream.Options{URL: r.url, Node: "fresh"})
	for i := range r.keys {
		r.check(fresh, fmt.Sprintf("k/%d", i))
	}
	acked, unknown, not, delivered := 0, 0, 0, 0
	for _, c := range r.counts {
		acked, unknown, not = acked+c.acked, unknown+c.tried-c.acked-c.not, not+c.not
	}
	for _, m := range r.members {
		delivered += m.delivered
	}
	all, worst := r.pauses()
	f := r.found
	t.Logf("| %s | acknowledged %d, not made %d, unknown %d | delivered %d of %d to each of %d nodes | lost %d, out of order %d, twice %d, gaps %d | writes went on after %.1f s, on each node after %.1f s |",
		fault, acked, not, unknown, delivered, len(r.versions), len(r.members), f.lost, f.order, f.twice, f.gaps, all.Seconds(), worst.Seconds())
	if f != (violations{}) {
		t.Errorf("violations: %+v", f)
	}
	if r.longest > r.limit {
		t.Errorf("a write failed after %v, want at most %v", r.longest, r.limit)
	}
	for text, n := range r.refusals {
		t.Logf("%d × %s", n, text)
	}
}

// missed returns how many of the versions that anyone knows a node's subscriber was not told.
func (r *trial) missed(m *member) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(r.versions) - m.delivered
}

// settle waits until a node has everything that was written.
func (r *trial) settle(m *member) {
	r.t.Helper()
	eventually(r.t, patience, "a barrier", func() bool {
		ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
		defer cancel()
		return m.store.Barrier(ctx) == nil
	})
}

// check compares a key of a node that has just loaded the state with that of the other nodes,
// and with the events of the writers.
func (r *trial) check(fresh node, key string) {
	e, err := fresh.Get(key)
	if err != nil && !errors.Is(err, keyspace.ErrNotFound) {
		r.t.Fatal(err)
	}
	var scores tally
	if err == nil {
		r.saw(key, e.Version, string(e.Value))
		scores = parseTally(e.Value)
	}
	r.found.twice += scores.Twice
	for k, c := range r.counts {
		if k.key != key {
			continue
		}
		n := scores.Scores[k.writer].Count
		r.found.lost += max(0, c.acked-n)
		if most := c.tried - c.not; n > most {
			r.found.twice += n - most
		}
	}
	for _, m := range r.members {
		if m.gone {
			continue
		}
		var has keyspace.Entry
		arrived := poll(5*time.Second, func() bool {
			has, _ = m.Get(key)
			m.mu.Lock()
			defer m.mu.Unlock()
			last, told := m.last[key]
			return has.Version == e.Version && (last == e.Version || !told && e.Version == 0)
		})
		if !arrived {
			r.found.gaps++
			r.t.Errorf("%s is at version %d, a node has version %d, and its subscriber has %d", key, e.Version, has.Version, m.last[key])
		}
	}
}
