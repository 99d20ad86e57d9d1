package storetest

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"rtdb/keyspace"
)

// all returns what the client has.
func (c *client) all() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.values)
}

// leave ends the subscription of a client to all keys.
func (c *cluster) leave(ks *keyspace.Keyspace, x *client) {
	c.Helper()
	if err := ks.Unsubscribe(context.Background(), keyspace.Pattern("#"), x); err != nil {
		c.Fatalf("Unsubscribe: %v", err)
	}
}

// checkSharedResume requires that a client goes from keyspace to keyspace without a reset,
// and misses nothing.
func checkSharedResume(c *cluster) {
	members := []*keyspace.Keyspace{c.join(), c.join()}
	x := newClient()
	x.resume(c, members[0])
	for n := range 8 {
		from, to := members[n%2], members[(n+1)%2]
		c.leave(from, x)
		missed := map[string]uint64{}
		for i := range 6 {
			key := fmt.Sprint("k/", (n+i)%8)
			ks := members[i%2]
			missed[key] = c.mustWrite(ks, key, setTo(fmt.Sprint(n, ".", i))).Version
			if (n+i)%3 == 0 {
				missed[key] = c.mustWrite(ks, key, keyspace.Change{Delete: true}).Version
			}
		}
		x.mark.Revision = max(x.mark.Revision, 1)
		if x.resume(c, to); x.mark.Reset {
			c.Errorf("move %d: a client that resumes on another keyspace got a reset", n)
		}
		c.await("the client has the last write of each key", func() bool {
			x.mu.Lock()
			defer x.mu.Unlock()
			for key, version := range missed {
				if x.last[key] != version {
					return false
				}
			}
			return true
		})
		c.await("the keyspace has what the client has", func() bool { return maps.Equal(list(c, to), x.all()) })
		last := uint64(0)
		for _, version := range missed {
			last = max(last, version)
		}
		c.await("the revision comes to the last write", func() bool { return to.Revision() >= last })
		x.mark.Revision = to.Revision() // the client has everything up to it
	}
}

// checkSharedAhead requires that a client that is ahead of the keyspace waits, and
// that one that cannot be right gets a reset after a second.
func checkSharedAhead(c *cluster) {
	a, b := c.join(), c.join()
	for n := range 10 {
		made := c.mustWrite(a, "k", setTo(fmt.Sprint(n)))
		x := since(keyspace.Mark{Epoch: b.Epoch(), Revision: made.Version})
		if x.resume(c, b); x.mark.Reset || x.mark.Revision < made.Version {
			c.Fatalf("a client that is ahead of the feed got %+v, want no reset, and a revision from %d on", x.mark, made.Version)
		}
		c.leave(b, x)
		if e, err := b.Get("k"); err != nil || e.Version < made.Version {
			c.Errorf("after the mark, the keyspace has version %d, %v; want %d", e.Version, err, made.Version)
		}
	}
	x := since(keyspace.Mark{Epoch: b.Epoch(), Revision: b.Revision() + 1<<20})
	began := time.Now()
	x.resume(c, b)
	if took := time.Since(began); !x.mark.Reset || took < 900*time.Millisecond || len(x.all()) != 1 {
		c.Errorf("a client that is ahead of all writes got %+v and %d values after %v, want a reset and 1 value after a second", x.mark, len(x.all()), took)
	}
	x = since(keyspace.Mark{Epoch: "another", Revision: 1})
	if x.resume(c, b); !x.mark.Reset {
		c.Errorf("a client of another epoch got %+v, want a reset", x.mark)
	}
}

// checkSharedJoin requires that a keyspace that is opened while others write gets all writes:
// the feed begins at the end of the load.
func checkSharedJoin(c *cluster) {
	members := []*keyspace.Keyspace{c.join(), c.join()}
	a := c.watch(members[0])
	c.churn(members, 10, 10, a)
	var written []uint64
	var writing sync.WaitGroup
	defer writing.Wait()
	writing.Go(func() { written = c.churn(members, 10, 60, a) })
	var joined []*keyspace.Keyspace
	var clients []*client
	var watchers []*watcher
	for range 2 {
		ks, x := c.join(), newClient()
		watchers = append(watchers, c.watch(ks))
		x.resume(c, ks)
		joined, clients = append(joined, ks), append(clients, x)
	}
	writing.Wait()
	a.awaitWanted()
	for _, w := range watchers {
		loaded := w.firstMark()
		for _, version := range written {
			if version > loaded {
				w.want(version)
			}
		}
		w.awaitWanted()
	}
	want := list(c, members[0])
	for i, ks := range joined {
		c.await(fmt.Sprintf("keyspace %d, which was opened late, has all %d keys", i, len(want)), func() bool { return maps.Equal(list(c, ks), want) })
		c.await("its subscriber has them, too", func() bool { return maps.Equal(clients[i].all(), want) })
		if keys := ks.Keys(); keys != len(want) {
			c.Errorf("a keyspace that was opened late counts %d keys, want %d", keys, len(want))
		}
	}
}

// checkSharedRejoin requires that a keyspace that was closed gets what it has missed, deletes
// included, and that the store keeps its epoch while no keyspace is open.
func checkSharedRejoin(c *cluster) {
	a, b := c.join(), c.join()
	x := newClient()
	for n := range 10 {
		c.mustWrite(a, fmt.Sprint("k/", n), setTo("1"))
	}
	x.resume(c, a)
	c.await("the client has 10 keys", func() bool { return len(x.all()) == 10 })
	c.leave(a, x)
	shutdown(c, a)
	for n := range 5 {
		c.mustWrite(b, fmt.Sprint("k/", n), keyspace.Change{Delete: true})
		c.mustWrite(b, fmt.Sprint("new/", n), setTo("2"))
	}
	c.mustWrite(b, "k/9", keyspace.Change{Touch: true, TTL: time.Hour})
	c.await("the other keyspace has all 10 keys", func() bool { return len(list(c, b)) == 10 })
	want := list(c, b)
	shutdown(c, b)
	again := c.join()
	if x.resume(c, again); x.mark.Reset || !maps.Equal(x.all(), want) {
		c.Errorf("a client that resumes after a restart of all keyspaces: %+v and %v, want no reset and %v", x.mark, x.all(), want)
	}
	if e, err := again.Get("k/9"); err != nil || e.TTL < 59*time.Minute {
		c.Errorf("a key that was touched: %+v, %v; want an hour to live", e, err)
	}
	c.mustWrite(again, "k/9", keyspace.Change{Merge: increment})
	c.mustWrite(again, "k/0", onlyAt(0, setTo("3")))
}
