package journal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/keyspace"
	"rtdb/transport/transporttest"
)

// cuts is the number of power cuts of the test, each with another outcome.
var cuts = map[bool]int{false: 10_000, true: 600}[transporttest.UnderRace]

// smallLimits make segments and snapshots of a few writes.
var smallLimits = limits{segment: 500, snapshot: 700, step: 200}

func TestPowerCut(t *testing.T) {
	for name, interval := range map[string]time.Duration{"always": Always, "interval": 40 * time.Millisecond, "never": Never} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var whole *script
			synctest.Test(t, func(t *testing.T) { whole = runScript(t, interval, 0) })
			if whole.rotated < 10 || whole.snapshots < 3 {
				t.Fatalf("the script begins %d segments and writes %d snapshots", whole.rotated, whole.snapshots)
			}
			all, lossy, step := 0, 0, 1
			if transporttest.UnderRace {
				step = 7
			}
			each := cuts/3/(whole.disk.ops/step) + 1
			for at := 1; at <= whole.disk.ops && !t.Failed(); at += step {
				synctest.Test(t, func(t *testing.T) {
					s := runScript(t, interval, at)
					random := rand.New(rand.NewPCG(uint64(at), uint64(interval)))
					for range each {
						if s.check(t, s.disk.afterCut(random), random) {
							lossy++
						}
						if all++; t.Failed() {
							t.Logf("the power was cut at operation %d of %d", at, whole.disk.ops)
							return
						}
					}
				})
			}
			t.Logf("%d cuts at %d operations; %d lost writes that were visible", all, whole.disk.ops, lossy)
			if interval == Always && lossy > 0 || interval != Always && lossy == 0 {
				t.Errorf("%d power cuts lost visible writes; want none with Always, and some otherwise", lossy)
			}
		})
	}
}

// A script is a run of a keyspace on a disk: three processes, of which the first ends
// cleanly and the second is killed.
type script struct {
	disk     *disk
	interval time.Duration

	rotated   int
	snapshots int
	killedAt  time.Time // zero: a process runs

	mu       sync.Mutex
	epoch    string
	visible  map[uint64]seen      // by version: the writes that a reader, a writer or a subscriber was told of
	tried    map[string]bool      // keys and values of writes that were tried
	expiries map[uint64][]promise // by version: when the key expires, in order
}

// seen is a write that was visible.
type seen struct {
	key, value string // value is "" for a delete
	at         time.Time
}

// A promise is a time when a key expires.
type promise struct {
	expires    time.Time
	tried      bool      // it is not known whether it was made
	answeredAt time.Time // unless it is tried
}

func runScript(t *testing.T, interval time.Duration, cutAt int) *script {
	s := &script{
		disk: newDisk(), interval: interval, visible: map[uint64]seen{}, tried: map[string]bool{}, expiries: map[uint64][]promise{},
	}
	s.disk.cutAt = cutAt
	for process := range 3 {
		if s.disk.isOff() {
			break
		}
		s.runProcess(t, process)
	}
	s.disk.cut() // the last process has ended cleanly, but a disk loses nothing then
	return s
}

func (s *script) runProcess(t *testing.T, process int) {
	h := s.disk.start()
	var failed atomic.Int32
	o := Options{Fsync: s.interval, Observer: Observer{
		Failed: func(error) { failed.Add(1) },
		Snapshot: func(_ int64, _ time.Duration, err error) {
			if err == nil {
				s.snapshots++
			}
		},
	}}
	j, err := open(h, "/data", o)
	var ks *keyspace.Keyspace
	if err == nil {
		j.limits, j.boot = smallLimits, [16]byte{1}
		ks, err = keyspace.Open(keyspace.Options{Store: j})
	}
	if err != nil {
		if !errors.Is(err, errCut) {
			t.Errorf("process %d: %v", process, err)
		}
		return
	}
	s.killedAt = time.Time{}
	if s.epoch == "" {
		s.epoch = ks.Epoch()
	} else if s.epoch != ks.Epoch() {
		t.Errorf("process %d has another epoch", process)
	}
	s.adopt(t, ks)
	if err := ks.Subscribe(context.Background(), keyspace.Pattern("#"), s, keyspace.Start{}); err != nil {
		t.Error(err)
	}
	first := j.active.Load().header.number
	var writing sync.WaitGroup
	for w := range 3 {
		writing.Go(func() { s.writeKeys(ks, w, process) })
	}
	if process == 1 {
		time.Sleep(1700 * time.Millisecond)
		s.disk.start() // this process is killed
		s.killedAt = time.Now()
	}
	writing.Wait()
	s.rotated += int(j.active.Load().header.number - first)
	err = ks.Shutdown(context.Background())
	if process != 1 && !s.disk.isOff() && (err != nil || failed.Load() != 0) {
		t.Errorf("process %d: %v, %d failures", process, err, failed.Load())
	}
	if failed.Load() > 1 {
		t.Errorf("process %d failed %d times", process, failed.Load())
	}
}

// adopt notes the state that a reader sees after a start: it may have writes that were
// tried.
func (s *script) adopt(t *testing.T, ks *keyspace.Keyspace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range 3 {
		for k := range 3 {
			key := fmt.Sprintf("k/%d/%d", w, k)
			e, err := ks.Get(key)
			if err != nil {
				continue
			}
			if _, ok := s.visible[e.Version]; !ok && !s.tried[key+"="+string(e.Value)] {
				t.Errorf("%s holds %q, which was never written", key, e.Value)
			}
			s.visible[e.Version] = seen{key, string(e.Value), time.Now()}
			expires := time.Time{}
			if e.TTL > 0 {
				expires = time.Now().Add(e.TTL)
			}
			s.expiries[e.Version] = []promise{{expires: expires, answeredAt: time.Now()}}
		}
	}
}

// Deliver notes the updates of a subscriber.
func (s *script) Deliver(u *keyspace.Update) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.visible[u.Version] = seen{u.Target.Name, string(u.Value), time.Now()}
}

// writeKeys writes to the keys of one writer until the store fails.
func (s *script) writeKeys(ks *keyspace.Keyspace, writer, process int) {
	random := rand.New(rand.NewPCG(uint64(writer), uint64(process)))
	versions := [3]uint64{}
	for k := range versions {
		e, _ := ks.Get(fmt.Sprintf("k/%d/%d", writer, k))
		versions[k] = e.Version
	}
	for n := range 9 {
		time.Sleep(time.Duration(random.IntN(50)) * 10 * time.Millisecond) // several at once
		k := random.IntN(3)
		key := fmt.Sprintf("k/%d/%d", writer, k)
		c := keyspace.Change{Value: fmt.Appendf(nil, "%d.%d.%d %0*d", process, writer, n, random.IntN(60), 0)}
		if random.IntN(3) == 0 {
			c.TTL = time.Duration(200+random.IntN(5)*700)*time.Millisecond + 300*time.Microsecond
		}
		switch random.IntN(5) {
		case 0:
			c = keyspace.Change{Delete: true}
		case 1:
			c = keyspace.Change{Touch: true, TTL: time.Duration(1+random.IntN(9)) * 300 * time.Millisecond}
		}
		now := time.Now()
		promised := promise{tried: true}
		if c.TTL > 0 {
			promised.expires = now.Add(c.TTL)
		}
		s.mu.Lock()
		s.tried[key+"="+string(c.Value)] = true
		if c.Touch {
			s.expiries[versions[k]] = append(s.expiries[versions[k]], promised)
		}
		s.mu.Unlock()
		e, err := ks.Write(context.Background(), key, c)
		if errors.Is(err, keyspace.ErrNotFound) {
			continue
		}
		if err != nil {
			return
		}
		promised.tried, promised.answeredAt = false, now
		s.mu.Lock()
		versions[k] = e.Version
		if list := s.expiries[e.Version]; c.Touch {
			list[len(list)-1] = promised
		} else {
			s.visible[e.Version] = seen{key, string(c.Value), now}
			s.expiries[e.Version] = []promise{promised}
		}
		s.mu.Unlock()
	}
}

// check opens the store on the rest of the disk. It reports whether writes that were
// visible are lost.
func (s *script) check(t *testing.T, d *disk, random *rand.Rand) (lossy bool) {
	if random.IntN(4) == 0 {
		d.cutAt = 1 + random.IntN(20) // the power is cut again, perhaps during the recovery
	}
	for n := 1; ; n++ {
		j, state, history, err := load(d, s.interval, byte(n+1))
		if err != nil && errors.Is(err, errCut) {
			d = d.afterCut(random)
			continue
		}
		if err != nil {
			t.Errorf("open: %v", err)
			return false
		}
		if n == 1 && random.IntN(2) == 0 {
			d.cut()
			_ = j.Close()
			d = d.afterCut(random)
			continue
		}
		lossy = s.compare(t, state, history)
		s.write(t, j, state, history)
		if random.IntN(2) == 0 {
			d.start() // it is killed
		}
		_ = j.Close()
		if random.IntN(10) == 0 {
			s.serve(t, d, state, lossy)
		}
		return lossy
	}
}

// load opens a store.
func load(d *disk, interval time.Duration, boot byte) (*Journal, *contents, keyspace.History, error) {
	j, err := open(d.start(), "/data", Options{Fsync: interval})
	if err != nil {
		return nil, nil, keyspace.History{}, err
	}
	j.limits, j.boot = smallLimits, [16]byte{boot}
	state := new(contents)
	history, err := j.Load(state)
	if err != nil {
		return nil, nil, history, errors.Join(err, j.Close())
	}
	return j, state, history, nil
}

// compare compares the state with the visible writes.
func (s *script) compare(t *testing.T, state *contents, history keyspace.History) (lossy bool) {
	newest, there := uint64(0), uint64(0)
	for _, w := range state.keys {
		there = max(there, w.Version)
		known, ok := s.visible[w.Version]
		switch {
		case ok && (known.key != w.Key || known.value != string(w.Value)):
			t.Errorf("version %d is %s=%q, and was %s=%q", w.Version, w.Key, w.Value, known.key, known.value)
		case !ok && w.Value != nil && !s.tried[w.Key+"="+string(w.Value)]:
			t.Errorf("%s holds %q, which was never written", w.Key, w.Value)
		}
		if ok && w.Value != nil {
			s.compareExpiry(t, &w)
		}
	}
	for version, known := range s.visible {
		newest = max(newest, version)
		lost := state.keys[known.key].Version < version
		lossy = lossy || lost
		switch {
		case lost && version <= there:
			t.Errorf("version %d, %s=%q, is lost, but version %d is there", version, known.key, known.value, there)
		case lost && s.promised(known.at):
			t.Errorf("version %d, %s=%q, was visible %s before the cut, and is lost", version, known.key, known.value, s.disk.cutTime.Sub(known.at))
		}
	}
	if len(s.visible) > 0 && history.Epoch != s.epoch {
		t.Errorf("epoch %q, and was %q", history.Epoch, s.epoch)
	}
	if history.Last < newest {
		t.Errorf("the next version follows %d, but %d was visible", history.Last, newest)
	}
	if lossy && history.Forgotten < newest {
		t.Errorf("version %d was visible and is lost, but clients are only reset up to %d", newest, history.Forgotten)
	}
	if s.interval == Always && len(s.visible) > 0 && history.Forgotten >= slices.Min(slices.Collect(maps.Keys(s.visible))) {
		t.Errorf("clients are reset up to %d", history.Forgotten)
	}
	return lossy
}

// promised reports whether a write that was visible at a time must be there after the cut.
func (s *script) promised(at time.Time) bool {
	end := s.disk.cutTime
	if !s.killedAt.IsZero() && s.killedAt.Before(end) {
		end = s.killedAt // no later process has made its writes durable
	}
	return s.interval == Always || s.interval > 0 && at.Before(end.Add(-s.interval))
}

// compareExpiry checks that the key expires when it should.
func (s *script) compareExpiry(t *testing.T, w *keyspace.Record) {
	list := s.expiries[w.Version]
	first := 0
	for i, p := range list {
		if !p.tried && s.promised(p.answeredAt) {
			first = i
		}
	}
	for _, p := range list[first:] {
		if p.expires.IsZero() == w.Expires.IsZero() && (p.expires.IsZero() || expiryOf(p.expires) == w.Expires.UnixMilli()) {
			return
		}
	}
	if len(list) > 0 {
		t.Errorf("%s at version %d expires %v, want one of %v", w.Key, w.Version, w.Expires, list[first:])
	}
}

// write writes once more, and adds the write to state.
func (s *script) write(t *testing.T, j *Journal, state *contents, history keyspace.History) {
	w := []keyspace.Record{{Key: "after", Value: []byte("the cut"), Written: 1}}
	if err := j.Commit(context.Background(), w); err != nil {
		if !errors.Is(err, errCut) {
			t.Errorf("a write after the cut: %v", err)
		}
		return
	}
	if w[0].Version != history.Last+1 {
		t.Errorf("the next version is %d after %d", w[0].Version, history.Last)
	}
	_ = state.Apply(&w[0])
}

// serve opens a keyspace, and compares it with the state.
func (s *script) serve(t *testing.T, d *disk, state *contents, lossy bool) {
	j, err := open(d.start(), "/data", Options{Fsync: s.interval})
	if err != nil {
		if !errors.Is(err, errCut) {
			t.Errorf("open again: %v", err)
		}
		return
	}
	j.boot = [16]byte{250}
	ks, err := keyspace.Open(keyspace.Options{Store: j})
	if err != nil {
		if !errors.Is(err, errCut) {
			t.Errorf("open again: %v", err)
		}
		return
	}
	for key, w := range state.keys {
		e, err := ks.Get(key)
		if w.Value == nil && err == nil || w.Value != nil && w.Expires.IsZero() && (string(e.Value) != string(w.Value) || e.Version != w.Version) {
			t.Errorf("%s is %+v, %v; want %+v", key, e, err, w)
		}
	}
	newest := uint64(0)
	for version := range s.visible {
		newest = max(newest, version)
	}
	start := keyspace.Start{Resume: true, Since: newest, Epoch: s.epoch, Each: func(*keyspace.Update) {}, Mark: func(m keyspace.Mark) {
		if newest > 0 && (lossy && !m.Reset || s.interval == Always && m.Reset) {
			t.Errorf("a client resumes: reset %v", m.Reset)
		}
	}}
	if err := ks.Subscribe(context.Background(), keyspace.Pattern("#"), &script{visible: map[uint64]seen{}}, start); err != nil {
		t.Error(err)
	}
	d.start()
	_ = ks.Shutdown(context.Background())
}

// A snapshot has writes that came while it was written. It replaces files only after the
// log has them, too: otherwise a power cut could leave the later ones without the earlier.
func TestPowerCutAfterASnapshotWithLaterWrites(t *testing.T) {
	d, ctx := newDisk(), context.Background()
	j, err := open(d.start(), "/data", Options{Fsync: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ks, err := keyspace.Open(keyspace.Options{Store: j})
	if err != nil {
		t.Fatal(err)
	}
	set := func(key string, bytes int) {
		if _, err := ks.Set(ctx, key, make([]byte, bytes)); err != nil {
			t.Error(err)
		}
	}
	for _, key := range []string{"a", "m/1", "m/2", "m/3", "z"} {
		set(key, 300<<10)
	}
	frames := 0
	d.setFault(func(op, name string) error {
		if op == "write" && name == snapshotName(2)+temporarySuffix {
			if frames++; frames == 3 { // a is in the snapshot, and z is not
				set("a", 1)
				set("z", 1)
			}
		}
		return nil
	})
	if _, err := j.writeSnapshot(); err != nil {
		t.Fatal(err)
	}
	d.cut()
	if err := ks.Shutdown(ctx); err == nil {
		t.Error("the store was closed although the power was off")
	}
	random := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		j, state, _, err := load(d.afterCut(random), time.Hour, 1)
		if err != nil {
			t.Fatal(err)
		}
		if a, z := state.keys["a"].Value, state.keys["z"].Value; len(z) == 1 && len(a) != 1 {
			t.Error("a write is there, and the one before it is not")
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}
}
