package jetstream_test

import (
	"testing"

	"rtdb/keyspace/jetstream/natstest"
)

func three(t *testing.T) *natstest.Cluster {
	t.Helper()
	return natstest.Start(t, natstest.Options{Servers: 3})
}

func TestTheLeaderIsKilled(t *testing.T) {
	t.Parallel()
	c := three(t)
	r := newTrial(t, c.URL(), nodes(2)...)
	r.writeEverywhere()
	r.more(200)
	leader := c.Leader(t, "rtdb")
	r.fault()
	c.Server(leader).Kill()
	r.healthy()
	r.more(100)
	c.Server(leader).Restart()
	r.more(100)
	r.finish("kill -9 of the stream's leader")
}
