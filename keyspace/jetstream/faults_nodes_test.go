package jetstream_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
	"rtdb/transport/transporttest"
)

// startProcess runs a node with writers in a process of its own, the first with a number. end
// kills it, and returns when the trial knows all that it has told.
func startProcess(r *trial, first int) (end func()) {
	r.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), nodeURL+"="+r.url, fmt.Sprintf("%s=%d", firstWriter, first))
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil { // it ends with this process
		r.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() { readEvents(out, func(e event) { r.note(nil, e) }) })
	end = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		reading.Wait()
		_ = cmd.Wait() // it was killed
	})
	r.t.Cleanup(end)
	return end
}

// remote returns the number of acknowledged writes of such processes.
func (r *trial) remote() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, c := range r.counts {
		if k.writer >= firstRemote {
			n += c.acked
		}
	}
	return n
}

func TestANodeIsKilled(t *testing.T) {
	t.Parallel()
	c := servers(t)
	r := newTrial(t, c.URL(), nodes(2)...)
	r.writeEverywhere()
	for round := range choose(1, 10) {
		end, from := startProcess(r, firstRemote+10*round), r.remote()
		eventually(t, patience, "writes of the process", func() bool { return r.remote() > from+100 })
		r.fault()
		end()
		r.more(60)
	}
	r.finish("kill -9 of a node under its writers")
}

// behindProxy starts one server and two nodes, of which the second one is behind a proxy.
func behindProxy(t *testing.T, o natstest.Options) (*trial, *transporttest.Proxy) {
	t.Helper()
	c := natstest.Start(t, o)
	proxy := transporttest.NewProxy(t, c.Server(0).Addr())
	return newTrial(t, c.URL(), jetstream.Options{Node: "n0"}, jetstream.Options{Node: "n1", URL: "nats://" + proxy.Addr}), proxy
}

// awaitCutOff waits until a node refuses writes.
func awaitCutOff(t *testing.T, m *member) {
	t.Helper()
	eventually(t, patience, "a refusal of writes", func() bool { return m.store.Ready() != nil })
}

func TestANodeIsCutOff(t *testing.T) {
	t.Parallel()
	r, proxy := behindProxy(t, natstest.Options{})
	r.writeEverywhere()
	r.more(60)
	r.fault()
	proxy.Refuse(true)
	proxy.Cut()
	awaitCutOff(t, r.members[1])
	<-time.After(choose(0, 10*time.Second))
	proxy.Refuse(false)
	r.healthy()
	r.finish("a node cut off until it refuses writes")
}

// The link swallows all bytes, and nothing tells its ends.
func TestANodeIsHalfDead(t *testing.T) {
	longOnly(t)
	t.Parallel()
	r, proxy := behindProxy(t, natstest.Options{})
	r.writeEverywhere()
	r.more(60)
	r.fault()
	proxy.Swallow(true)
	awaitCutOff(t, r.members[1])
	proxy.Swallow(false) // its connection stays torn until the node gives it up
	r.healthy()
	r.finish("a node whose link swallows all bytes")
}

// NATS makes the writes of a node that gets no answers, and another node replaces them. So
// the node never learns their outcome.
func TestAnswersAreLost(t *testing.T) {
	t.Parallel()
	r, proxy := behindProxy(t, natstest.Options{})
	r.writeEverywhere()
	for range choose(2, 20) {
		r.more(60)
		r.fault()
		proxy.Mute(true)
		r.more(60) // of the other node
		proxy.Cut()
		proxy.Mute(false)
		r.healthy()
	}
	r.finish("answers to a node are lost")
}

// At 1000 writes a second to one key, with a healthy network, no subscriber misses a write.
func TestNoWriteIsMissed(t *testing.T) {
	if !isLong() { // otherwise it runs alone, because it needs the time that it measures
		t.Parallel()
	}
	c := servers(t)
	r := newTrial(t, c.URL(), nodes(2)...)
	r.keys = 1
	r.write(r.members[0], 32, 24*time.Millisecond) // a quarter has conditions, and most of these fail
	r.more(100)
	r.fault()
	from := r.acked()
	r.more(2000)
	rate := float64(r.acked()-from) / time.Since(r.began).Seconds()
	r.finish(fmt.Sprintf("none: %.0f writes a second to one key", rate))
	for i, m := range r.members {
		if n := r.missed(m); n != 0 {
			t.Errorf("the subscriber on node %d missed %d of %d writes", i, n, len(r.versions))
		}
	}
}

// A slowStore lets a test hold back the writes of other nodes.
type slowStore struct {
	*jetstream.Store
	gate *sync.RWMutex
}

func (s slowStore) Follow(f keyspace.Feed) { s.Store.Follow(slowFeed{f, s.gate}) }

type slowFeed struct {
	keyspace.Feed
	gate *sync.RWMutex
}

func (f slowFeed) Apply(records []keyspace.Record) {
	f.gate.RLock()
	defer f.gate.RUnlock()
	f.Feed.Apply(records)
}

// A node does not keep up, in one case with so much that messages are dropped.
func TestANodeIsSlow(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]int{"keeps what waits": 0, "drops messages": 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := natstest.Start(t, natstest.Options{})
			r := newTrial(t, c.URL(), nodes(1)...)
			s, err := jetstream.Open(jetstream.Options{URL: c.URL(), Node: "slow"})
			if err != nil {
				t.Fatal(err)
			}
			var gate sync.RWMutex
			m := r.join(startOn(t, slowStore{s, &gate}, s))
			if limit > 0 {
				if err := s.LimitPending(limit); err != nil {
					t.Fatal(err)
				}
			}
			r.writeEverywhere()
			r.more(60)
			r.fault()
			gate.Lock()
			awaitCutOff(t, m)
			r.more(60)
			gate.Unlock()
			r.healthy()
			r.finish("a slow node that " + name)
			if got, want := r.missed(m) > 0, limit > 0; got != want {
				t.Errorf("%d writes were not told one by one", r.missed(m))
			}
		})
	}
}

// NATS drops a connection that takes nothing.
func TestANodeIsASlowConsumer(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{Config: "max_pending: 1MB"})
	proxy := transporttest.NewProxy(t, c.Server(0).Addr())
	r := newTrial(t, c.URL(), jetstream.Options{Node: "n0"}, jetstream.Options{Node: "n1", URL: "nats://" + proxy.Addr})
	r.writeEverywhere()
	r.more(60)
	r.fault()
	proxy.Stall(true)
	big := make([]byte, 500<<10)
	eventually(t, patience, "a slow consumer in the log of NATS", func() bool {
		if _, err := r.members[0].Set(t.Context(), "big", big); err != nil {
			t.Fatal(err)
		}
		log, err := os.ReadFile(c.Server(0).Log())
		return err == nil && bytes.Contains(log, []byte("Slow Consumer"))
	})
	proxy.Stall(false)
	r.healthy()
	r.finish("a node that NATS drops as a slow consumer")
}
