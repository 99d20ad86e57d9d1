package jetstream_test

import (
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

// startProcess runs a node with writers in a process of its own. end kills it, and returns
// when the trial knows all that it has told.
func startProcess(r *trial) (end func()) {
	r.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), nodeURL+"="+r.url)
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
	c := three(t)
	r := newTrial(t, c.URL(), nodes(2)...)
	r.writeEverywhere()
	for range choose(1, 10) {
		end, from := startProcess(r), r.remote()
		eventually(t, patience, "writes of the process", func() bool { return r.remote() > from+200 })
		r.fault()
		end()
		r.more(100)
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
	r.more(200)
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
	t.Parallel()
	r, proxy := behindProxy(t, natstest.Options{})
	r.writeEverywhere()
	r.more(200)
	r.fault()
	proxy.Swallow(true)
	awaitCutOff(t, r.members[1])
	proxy.Swallow(false) // its connection stays torn until the node gives it up
	r.healthy()
	r.finish("a node whose link swallows all bytes")
}

// NATS makes the writes of a node that gets no answers, and another node replaces them. So the
// node never sees what came of them.
func TestAnswersAreLost(t *testing.T) {
	t.Parallel()
	r, proxy := behindProxy(t, natstest.Options{})
	r.writeEverywhere()
	for range choose(2, 20) {
		r.more(100)
		r.fault()
		proxy.Mute(true)
		r.more(100) // of the other node
		proxy.Cut()
		proxy.Mute(false)
		r.healthy()
	}
	r.finish("answers to a node are lost")
}

// A slowStore passes what other nodes write to the keyspace with a pause before each commit.
type slowStore struct {
	*jetstream.Store
	pause func()
}

func (s slowStore) Follow(f keyspace.Feed) { s.Store.Follow(slowFeed{f, s.pause}) }

type slowFeed struct {
	keyspace.Feed
	pause func()
}

func (f slowFeed) Apply(records []keyspace.Record) {
	f.pause()
	f.Feed.Apply(records)
}
