package jetstream_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
	"rtdb/transport/transporttest"
)

// servers starts one server, or three in CI, for faults that do not concern the servers.
func servers(t *testing.T) *natstest.Cluster {
	t.Helper()
	return natstest.Start(t, natstest.Options{Servers: choose(1, 3)})
}

func three(t *testing.T) *natstest.Cluster {
	t.Helper()
	return natstest.Start(t, natstest.Options{Servers: 3})
}

// follower returns the number of a server that does not lead the stream.
func follower(t *testing.T, c *natstest.Cluster) int {
	t.Helper()
	return (c.Leader(t, jetstream.DefaultStream) + 1) % c.Servers()
}

func TestTheLeaderIsKilled(t *testing.T) {
	t.Parallel()
	c := three(t)
	r := newTrial(t, c.URL(), nodes(2)...)
	r.writeEverywhere()
	r.more(60)
	leader := c.Leader(t, jetstream.DefaultStream)
	r.fault()
	c.Server(leader).Kill()
	r.healthy()
	r.more(60)
	c.Server(leader).Restart()
	r.more(60)
	r.finish("kill -9 of the stream's leader")
}

func TestAllServersAreKilled(t *testing.T) {
	longOnly(t)
	t.Parallel()
	c := three(t)
	r := newTrial(t, c.URL(), nodes(2)...)
	r.writeEverywhere()
	rounds := choose(1, 20)
	for range rounds {
		r.more(60)
		r.fault()
		var all sync.WaitGroup
		for i := range c.Servers() {
			all.Go(c.Server(i).Kill)
		}
		all.Wait()
		for i := range c.Servers() {
			all.Go(c.Server(i).Restart)
		}
		all.Wait()
		r.healthy()
	}
	r.finish(fmt.Sprintf("kill -9 of all servers, %d times", rounds))
}

func TestTheLeaderIsPaused(t *testing.T) {
	longOnly(t)
	t.Parallel()
	pauseServer(t, "leader", choose(7*time.Second, 30*time.Second), func(c *natstest.Cluster) int { return c.Leader(t, jetstream.DefaultStream) })
}

func TestAFollowerIsPaused(t *testing.T) {
	longOnly(t)
	t.Parallel()
	pauseServer(t, "follower", choose(4*time.Second, 30*time.Second), func(c *natstest.Cluster) int { return follower(t, c) })
}

func pauseServer(t *testing.T, name string, length time.Duration, which func(*natstest.Cluster) int) {
	c := three(t)
	r := newTrial(t, c.URL(), nodes(2)...)
	r.writeEverywhere()
	r.more(60)
	paused := c.Server(which(c))
	r.fault()
	paused.Stop()
	<-time.After(length)
	if isLong() { // shorter than that, the election may not be over
		r.healthy()
	}
	paused.Continue()
	r.healthy()
	r.finish(fmt.Sprintf("SIGSTOP of the %s for %v", name, length))
}

func TestServersAreRestartedInTurn(t *testing.T) {
	longOnly(t)
	t.Parallel()
	c := three(t)
	r := newTrial(t, c.URL(), nodes(2)...)
	r.limit = commitLimit
	r.writeEverywhere()
	r.more(60)
	r.fault()
	for i := range c.Servers() {
		c.Server(i).Restart()
		r.healthy()
		r.more(60)
	}
	r.finish("all servers restarted in turn")
}

// One server is cut off from the two others. Its clients cannot write until they use another
// server, or the server is back.
func TestAServerIsPartitioned(t *testing.T) {
	longOnly(t)
	t.Parallel()
	type pair [2]int
	links := map[pair]*transporttest.Proxy{}
	c := natstest.Start(t, natstest.Options{Servers: 3, Quiet: true, Route: func(from, to int, addr string) string {
		p := transporttest.NewProxy(t, addr)
		links[pair{from, to}] = p
		return p.Addr
	}})
	var each []jetstream.Options
	for i := range c.Servers() {
		each = append(each, jetstream.Options{Node: fmt.Sprintf("n%d", i), URL: c.Server(i).URL(), Replicas: 3})
	}
	r := newTrial(t, c.URL(), each...)
	r.writeEverywhere()
	r.more(60)
	leader := c.Leader(t, jetstream.DefaultStream)
	cut := func(on bool) {
		for p, link := range links {
			if p[0] == leader || p[1] == leader {
				link.Refuse(on)
				link.Cut()
			}
		}
	}
	r.fault()
	cut(true)
	r.members[leader].gone = true // for the time being
	r.healthy()
	r.more(50)
	<-time.After(choose(0, 20*time.Second))
	cut(false)
	r.members[leader].gone = false
	r.healthy()
	r.finish("the leader cut off from the other servers")
}
