package journal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"rtdb/keyspace"
	"rtdb/transport/transporttest"
)

// A model is a keyspace on a disk, and a plain map of the values that it must hold.
type model struct {
	disk     *disk
	interval time.Duration
	journal  *Journal
	ks       *keyspace.Keyspace
	first    uint64 // the revision before the first write

	mu   sync.Mutex
	keys map[string]modelKey // deleted ones, too
}

type modelKey struct {
	value   string // "": deleted
	version uint64
	expires time.Time
}

func (m *model) open(t *rapid.T) {
	j, err := open(m.disk.start(), "/data", Options{Fsync: m.interval})
	if err != nil {
		t.Fatal(err)
	}
	j.limits, j.boot = smallLimits, [16]byte{1}
	m.journal = j
	if m.ks, err = keyspace.Open(keyspace.Options{Store: j}); err != nil {
		t.Fatal(err)
	}
	m.check(t)
	if err := m.ks.Subscribe(context.Background(), keyspace.Pattern("#"), m, keyspace.Start{}); err != nil {
		t.Fatal(err)
	}
}

// Deliver notes writes, and so the versions of expiries.
func (m *model) Deliver(u *keyspace.Update) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.keys[u.Target.Name]
	if k.version != u.Version {
		k.expires = time.Time{}
	}
	k.value, k.version = string(u.Value), u.Version
	m.keys[u.Target.Name] = k
}

// check compares the keyspace with the map. A client that resumes gets everything that
// changed, deletes included, and no reset.
func (m *model) check(t *rapid.T) {
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	got := map[string]modelKey{}
	start := keyspace.Start{Resume: true, Since: m.first, Epoch: m.ks.Epoch()}
	start.Each = func(u *keyspace.Update) { got[u.Target.Name] = modelKey{value: string(u.Value), version: u.Version} }
	start.Mark = func(mark keyspace.Mark) {
		if mark.Reset && m.first != 0 {
			t.Errorf("a client that resumes is reset")
		}
	}
	s := &script{visible: map[uint64]seen{}}
	if err := m.ks.Subscribe(context.Background(), keyspace.Pattern("#"), s, start); err != nil {
		t.Fatal(err)
	}
	if err := m.ks.Unsubscribe(context.Background(), keyspace.Pattern("#"), s); err != nil {
		t.Fatal(err)
	}
	for key, k := range got {
		if e, err := m.ks.Get(key); err == nil && e.TTL > 0 {
			k.expires = time.Now().Add(e.TTL)
			got[key] = k
		}
	}
	if !maps.EqualFunc(got, m.keys, func(a, b modelKey) bool {
		return a.value == b.value && a.version == b.version && a.expires.Equal(b.expires)
	}) {
		t.Fatalf("the keyspace holds\n%v, want\n%v", got, m.keys)
	}
}

func (m *model) write(t *rapid.T, key string, c keyspace.Change) {
	e, err := m.ks.Write(context.Background(), key, c)
	if errors.Is(err, keyspace.ErrNotFound) {
		return
	}
	if err != nil {
		t.Error(err)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	k := modelKey{value: string(e.Value), version: e.Version}
	if c.TTL > 0 {
		k.expires = time.Now().Add(c.TTL)
	}
	m.keys[key] = k
}

func (m *model) stop(t *rapid.T, kill bool) {
	if kill {
		synctest.Wait()
		m.disk.start()
	}
	if err := m.ks.Shutdown(context.Background()); err != nil && !kill {
		t.Fatal(err)
	}
}

// Random writes, restarts, kills and snapshots agree with a plain map.
func TestAgainstAPlainMap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, func(t *rapid.T) {
			m := &model{disk: newDisk(), keys: map[string]modelKey{}}
			m.interval = rapid.SampledFrom([]time.Duration{Always, Never, 50 * time.Millisecond}).Draw(t, "interval")
			m.open(t)
			m.first = m.ks.Revision()
			key := rapid.SampledFrom([]string{"a", "b", "a/b", "c/d", "e"})
			ttl := rapid.SampledFrom([]time.Duration{0, 15 * time.Millisecond, 105 * time.Millisecond, 5005 * time.Millisecond})
			n := 0
			value := func() []byte { n++; return fmt.Appendf(nil, "%d%*d", n, n%50+1, 0) }
			t.Repeat(map[string]func(*rapid.T){
				"set": func(t *rapid.T) {
					m.write(t, key.Draw(t, "key"), keyspace.Change{Value: value(), TTL: ttl.Draw(t, "TTL")})
				},
				"delete": func(t *rapid.T) { m.write(t, key.Draw(t, "key"), keyspace.Change{Delete: true}) },
				"touch": func(t *rapid.T) {
					m.write(t, key.Draw(t, "key"), keyspace.Change{Touch: true, TTL: ttl.Draw(t, "TTL") + 5*time.Millisecond})
				},
				"several": func(t *rapid.T) {
					var writing sync.WaitGroup
					for _, key := range []string{"a", "b", "x", "y", "z"} {
						v := value()
						writing.Go(func() { m.write(t, key, keyspace.Change{Value: v}) })
					}
					writing.Wait()
				},
				"wait": func(t *rapid.T) {
					time.Sleep(rapid.SampledFrom([]time.Duration{10, 50, 100, 2000}).Draw(t, "ms") * time.Millisecond)
					synctest.Wait()
				},
				"snapshot": func(t *rapid.T) {
					synctest.Wait()
					if _, err := m.journal.writeSnapshot(); err != nil {
						t.Fatal(err)
					}
				},
				"restart": func(t *rapid.T) { m.stop(t, false); m.open(t) },
				"kill":    func(t *rapid.T) { m.stop(t, true); m.open(t) },
				"":        m.check,
			})
			m.stop(t, false)
		})
	})
}

// The newest deletes are remembered over restarts, as many as in memory.
func TestManyDeletes(t *testing.T) {
	if transporttest.UnderRace || testing.Short() {
		t.Skip("140,000 writes")
	}
	const deletes = keyspace.RememberedDeletes + 5000
	dir, ctx := t.TempDir(), context.Background()
	start := func() (*Journal, *keyspace.Keyspace) {
		j, err := Open(dir, Options{Fsync: Never})
		if err != nil {
			t.Fatal(err)
		}
		ks, err := keyspace.Open(keyspace.Options{Store: j})
		if err != nil {
			t.Fatal(err)
		}
		return j, ks
	}
	_, ks := start()
	var revisions [deletes]uint64 // of the deletes
	each := func(f func(n int)) {
		var writing sync.WaitGroup
		for w := range 100 {
			writing.Go(func() {
				for n := w; n < deletes; n += 100 {
					f(n)
				}
			})
		}
		writing.Wait()
	}
	each(func(n int) {
		if _, err := ks.Set(ctx, fmt.Sprint("k/", n), []byte("1")); err != nil {
			t.Error(err)
		}
	})
	each(func(n int) {
		var err error
		if revisions[n], err = ks.Delete(ctx, fmt.Sprint("k/", n)); err != nil {
			t.Error(err)
		}
	})
	before := slices.Min(revisions[:]) - 1
	check := func(when string) {
		t.Helper()
		for _, c := range []struct {
			since uint64
			reset bool
			want  int
		}{{before, true, 0}, {before + 1000, true, 0}, {before + 6000, false, deletes - 6000}, {before + deletes, false, 0}} {
			got := 0
			start := keyspace.Start{Resume: true, Since: c.since, Epoch: ks.Epoch(), Each: func(*keyspace.Update) { got++ }}
			start.Mark = func(m keyspace.Mark) {
				if m.Reset != c.reset {
					t.Errorf("%s: since the %dth delete: reset %v", when, c.since-before, m.Reset)
				}
			}
			s := &script{visible: map[uint64]seen{}}
			if err := ks.Subscribe(ctx, keyspace.Pattern("#"), s, start); err != nil {
				t.Fatal(err)
			}
			if err := ks.Unsubscribe(ctx, keyspace.Pattern("#"), s); err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("%s: since the %dth delete: %d deletes, want %d", when, c.since-before, got, c.want)
			}
		}
	}
	check("in memory")
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := ks.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	var j *Journal
	j, ks = start()
	check("after a restart")
	if _, err := j.writeSnapshot(); err != nil {
		t.Fatal(err)
	}
	if err := ks.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	_, ks = start()
	check("from a snapshot")
	if err := ks.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	dir = copied
	_, ks = start()
	check("after a kill")
	if err := ks.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	infos, err := osDirectory(dir).list()
	for _, info := range infos {
		if strings.HasSuffix(info.Name(), temporarySuffix) {
			t.Errorf("%s stays", info.Name())
		}
	}
	if err != nil {
		t.Error(err)
	}
}
