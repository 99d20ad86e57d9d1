package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"rtdb/keyspace"
)

// checkCloseWithoutLoad requires that a store can be closed without having been loaded,
// and loses nothing by that.
func checkCloseWithoutLoad(tb testing.TB, o Options) {
	dir := tb.TempDir()
	openOnly(tb, o, dir).close()
	s := open(tb, o, dir)
	s.commit(set("k", value(10, 1)))
	if !o.Durable {
		return
	}
	s.close()
	openOnly(tb, o, dir).close()
	open(tb, o, dir).wantAll(s)
}

// checkEpoch requires that an epoch names one history.
func checkEpoch(tb testing.TB, o Options) {
	dir := tb.TempDir()
	a, b := open(tb, o, dir), open(tb, o, tb.TempDir())
	if e := a.history.Epoch; e != "" && e == b.history.Epoch {
		tb.Errorf("two new stores have the epoch %q", e)
	}
	if a.history.Epoch == "" && o.Durable {
		tb.Error("a durable store has no epoch")
	}
	if !o.Durable {
		return
	}
	for range 3 {
		a = a.reopen()
	}
	a.commit(set("k", value(10, 1)))
	a.reopen()
}

// names are names of all lengths and scripts.
var names = []string{
	"a", "a/b", " ", "~", `"\`, "Ä", "日本語/キー", "👩‍👩‍👧", "e\u0301", "\u00a0", "\u2028", "\U0010ffff",
	strings.Repeat("n", keyspace.MaxNameBytes), strings.Repeat("ü/", keyspace.MaxNameBytes/3-1) + "end", strings.Repeat("日", keyspace.MaxNameBytes/3),
}

// sizes are sizes of values, around those at which a store may change its encoding.
var sizes = []int{0, 1, 2, 127, 128, 255, 256, 4095, 4096, 4097, 16383, 16384, 65535, 65536, 65537, 256 << 10, 1 << 20}

// checkReload requires that a store that is opened again applies exactly the committed
// names, values, times, touches and deletes.
func checkReload(tb testing.TB, o Options) {
	s := open(tb, o, tb.TempDir()).reopen()
	for n, name := range names {
		s.commit(set(name, value(n, n)))
	}
	for n, size := range sizes {
		s.commit(set(fmt.Sprint("size/", size), value(size, n)))
		s.commit(set("overwritten", value(size, n)))
	}
	s = s.reopen()
	s.commit(set("run", value(1, 1)), remove("run"), set("run", value(2, 2)))
	s.commit(set("run/deleted", value(1, 1)), remove("run/deleted"))
	s.commit(remove("overwritten"))
	s.commit(set("overwritten", []byte{})) // a value that is empty is a value
	for n, written := range []int64{0, 1, -1, 1 << 40, 1 << 52} {
		s.commit(keyspace.Record{Key: fmt.Sprint("written/", n), Value: value(3, n), Written: written})
	}
	s = s.reopen()
	s.commit(remove("run"))
	s.commit(remove(names[0]))
	s.reopen().reopen()
}

// checkReloadExpiry requires that a store keeps the times when keys expire, and that it
// applies a key that has expired: the keyspace deletes it, with a version.
func checkReloadExpiry(tb testing.TB, o Options) {
	now := time.Now()
	times := []time.Time{
		{}, now.Add(-time.Hour), now.Add(time.Millisecond), now.Add(time.Hour), now.Add(time.Hour).Round(0).UTC(),
		time.UnixMilli(now.UnixMilli() + 1000), time.UnixMilli(1), now.AddDate(100, 0, 0),
	}
	s := open(tb, o, tb.TempDir())
	for n, expires := range times {
		w := set(fmt.Sprint("expires/", n), value(10, n))
		w.Expires = expires
		s.commit(w)
		w.Key = fmt.Sprint("written/again/", n) // no longer expires
		s.commit(w)
		s.commit(set(w.Key, value(11, n)))
		w.Key = fmt.Sprint("deleted/", n)
		s.commit(w, remove(w.Key))
	}
	s = s.reopen()
	for n, expires := range times {
		for _, from := range []string{"expires", "written/again"} {
			s.commit(s.touch(fmt.Sprintf("%s/%d", from, (n+1)%len(times)), expires))
		}
	}
	s = s.reopen()
	for n := range times {
		s.commit(s.touch(fmt.Sprint("expires/", n), now.Add(time.Duration(n)*time.Minute)))
		s.commit(s.touch(fmt.Sprint("written/again/", n), time.Time{}))
	}
	s.reopen()
}

// checkReloadDeletes requires that a store that is opened again applies each delete, unless
// the key has a value again, and that History.Forgotten says so.
func checkReloadDeletes(tb testing.TB, o Options) {
	s := open(tb, o, tb.TempDir())
	for n := range 300 {
		key := fmt.Sprint("k/", n)
		switch n % 3 {
		case 0:
			s.commit(set(key, value(5, n)))
			s.commit(remove(key))
		case 1:
			s.commit(set(key, value(5, n)), remove(key))
		default:
			s.commit(set(key, value(5, n)), remove(key), set(key, value(6, n)))
		}
	}
	s = s.reopen()
	for n := range 100 {
		s.commit(set(fmt.Sprint("k/", n), value(7, n)))
	}
	for n := range 50 {
		s.commit(remove(fmt.Sprint("k/", n)))
	}
	s.reopen().reopen()
}

// checkReloadNumbering requires that versions go on rising over a restart.
func checkReloadNumbering(tb testing.TB, o Options) {
	s := open(tb, o, tb.TempDir())
	last := s.history.Last
	for n := range 5 {
		for range n {
			w := s.commit(set("k", value(5, n)), remove("k")) // the highest version is a delete's
			if w[0] <= last {
				tb.Errorf("after opening the store %d times: version %d after %d", n+1, w[0], last)
			}
			last = w[1]
		}
		if s = s.reopen(); s.history.Last < last {
			tb.Errorf("after opening the store %d times: Last is %d, but version %d was given out", n+2, s.history.Last, last)
		}
	}
}

// checkReloadRandom makes random commits of many goroutines, and opens the store again and
// again.
func checkReloadRandom(tb testing.TB, o Options) {
	seed := rand.Uint64()
	tb.Logf("seed %d", seed)
	s := open(tb, o, tb.TempDir())
	for round := range 4 {
		var writing sync.WaitGroup
		for w := range 8 {
			random := rand.New(rand.NewPCG(seed, uint64(round<<8|w)))
			writing.Go(func() { s.writeRandom(random, fmt.Sprintf("writer/%d/", w), 250) })
		}
		if round%2 == 1 {
			s.snapshot()
		}
		writing.Wait()
		s = s.reopen()
	}
}

// writeRandom makes random commits of keys that no other goroutine writes.
func (s *session) writeRandom(random *rand.Rand, prefix string, commits int) {
	for n := range commits {
		key := fmt.Sprint(prefix, random.IntN(20))
		exists := s.state.exists(key)
		if exists && random.IntN(4) == 0 {
			s.commit(s.touch(key, randomExpiry(random)))
			continue
		}
		writes := make([]keyspace.Record, 1+random.IntN(4))
		for i := range writes {
			if exists && random.IntN(3) == 0 {
				writes[i], exists = remove(key), false
				continue
			}
			writes[i], exists = set(key, value(random.IntN(1<<random.IntN(16)), n)), true
			writes[i].Expires = randomExpiry(random)
		}
		s.commit(writes...)
	}
}

func randomExpiry(random *rand.Rand) time.Time {
	if random.IntN(2) == 0 {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(random.Int64N(int64(time.Hour))))
}

// exists reports whether a key has a value.
func (s *state) exists(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes[key].Value != nil
}

// checkFailedLoad requires that an error of State.Apply ends Load, that the store can be
// closed then, and that nothing is lost.
func checkFailedLoad(tb testing.TB, o Options) {
	const keys = 100
	dir := tb.TempDir()
	s := open(tb, o, dir)
	for n := range keys {
		s.commit(set(fmt.Sprint("k/", n), value(100, n)))
	}
	s.close()
	broken := errors.New("the state is broken")
	for _, failAt := range []int{1, 2, keys / 2, keys} {
		for _, failure := range []error{broken, keyspace.ErrClosed} {
			failed := openOnly(tb, o, dir)
			failed.state.failAt, failed.state.failure = failAt, failure
			_, err := failed.load()
			wantErr(tb, fmt.Sprintf("Load, after call %d of Apply,", failAt), err, failure)
			failed.close()
		}
	}
	open(tb, o, dir).wantAll(s)
}

// checkKilled requires that a write is kept when its Commit has returned.
func checkKilled(tb testing.TB, o Options) {
	if o.Copy == nil {
		tb.Skip("the store of a process that is killed cannot be copied")
	}
	s := open(tb, o, tb.TempDir())
	for round := range 4 {
		var writing sync.WaitGroup
		for w := range 8 {
			random := rand.New(rand.NewPCG(uint64(round), uint64(w)))
			writing.Go(func() { s.writeRandom(random, fmt.Sprintf("writer/%d/", w), 25) })
		}
		writing.Wait()
		s.commit(set("last", value(10, round)))
		copied := open(tb, o, o.Copy(tb, s.dir))
		copied.wantAll(s)
		copied.close()
		if round == 1 {
			s.snapshot()
		}
	}
}

// checkSnapshot requires that a store loses nothing if it replaces the writes that it has
// kept with a snapshot, while other writers go on.
func checkSnapshot(tb testing.TB, o Options) {
	if o.Snapshot == nil {
		tb.Skip("the store makes no snapshots")
	}
	s := open(tb, o, tb.TempDir())
	s.snapshot() // of nothing
	for round := range 6 {
		var writing sync.WaitGroup
		for w := range 4 {
			random := rand.New(rand.NewPCG(uint64(round), uint64(w)))
			writing.Go(func() { s.writeRandom(random, fmt.Sprintf("writer/%d/", w), 100) })
		}
		s.snapshot()
		writing.Wait()
		if round%2 == 1 {
			s.snapshot()
			s = s.reopen()
		}
	}
	// The state forgets a half of the deletes, so the store may forget them, too.
	forgotten := s.commit(set("between", value(1, 1)))[0]
	for n := range 50 {
		s.commit(remove(fmt.Sprintf("writer/0/%d", n)))
	}
	s.state.forget(forgotten)
	s.snapshot()
	s = s.reopen()
	if s.history.Forgotten < forgotten {
		for _, w := range s.state.writes { // it is right if the store has kept them
			if w.Value == nil && w.Version <= forgotten {
				return
			}
		}
		tb.Errorf("Load returned Forgotten %d after a snapshot without the deletes up to %d", s.history.Forgotten, forgotten)
	}
}
