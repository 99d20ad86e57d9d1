package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rtdb/keyspace"
	"rtdb/keyspace/journal"
	"rtdb/transport"
	"rtdb/transport/client"
	"rtdb/transport/transporttest"
)

// A real server behind a proxy that cuts, stalls, delays and swallows, while many write.
// After each piece of mischief every view and watch ends at the server's state, and no
// version goes back. The server restarts, too: in memory everything is lost, and a durable
// one goes on.
func TestChaos(t *testing.T) {
	rounds := 60
	if os.Getenv("CI") != "" {
		rounds = 500 // of each kind
	}
	for name, durable := range map[string]bool{"in memory": false, "durable": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seed := uint64(time.Now().UnixNano())
			t.Logf("the seed is %d", seed)
			newChaos(t, durable, rand.New(rand.NewPCG(seed, 0))).run(rounds)
		})
	}
}

// quick lets a client notice and repair a lost connection within milliseconds.
var quick = []client.Option{
	client.WithBackoff(time.Millisecond, 10*time.Millisecond), client.WithPing(20*time.Millisecond, 40*time.Millisecond),
	client.WithWriteTimeout(500 * time.Millisecond),
}

type chaos struct {
	t      *testing.T
	random *rand.Rand
	dir    string // of the durable store; "": none

	server *transporttest.Server
	proxy  *transporttest.Proxy // spoiled
	direct *transporttest.Proxy // not spoiled, but it follows the restarts
	sober  *client.Client       // connected directly

	writing sync.RWMutex // held by each write; locked to stop them
	writes  atomic.Int64
	lost    atomic.Int64 // writes whose outcome is unknown

	doubtful sync.Map // the numbers that were perhaps not published

	views   map[string]*client.View[json.RawMessage]
	watches []*tally
}

// A tally adds up the changes of a watch.
type tally struct {
	pattern string

	mu       sync.Mutex
	entries  map[string]client.Change[json.RawMessage]
	versions map[string]uint64
	synced   bool
}

func newChaos(t *testing.T, durable bool, random *rand.Rand) *chaos {
	x := &chaos{t: t, random: random, views: make(map[string]*client.View[json.RawMessage])}
	if durable {
		x.dir = filepath.Join(t.TempDir(), "data")
	}
	x.start()
	x.proxy, x.direct = transporttest.NewProxy(t, x.server.Addr), transporttest.NewProxy(t, x.server.Addr)
	return x
}

// start starts a server, again after it was stopped.
func (x *chaos) start() {
	k := keyspace.Options{Store: keyspace.NewMemory(uint64(time.Now().UnixMicro()))}
	if x.dir != "" {
		j, err := journal.Open(x.dir, journal.Options{Fsync: journal.Never})
		if err != nil {
			x.t.Fatal(err)
		}
		k.Store = j
	}
	x.server = transporttest.NewServerOn(x.t, k, transport.Options{})
}

func (x *chaos) run(rounds int) {
	x.sober = dial(x.t, x.direct.URL(), quick...)
	ctx, cancel := context.WithCancel(x.t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	drunk := []*client.Client{dial(x.t, x.proxy.URL(), quick...), dial(x.t, x.proxy.URL(), append(quick, client.WithName("n"))...)}
	for i, pattern := range []string{"#", "a/+", "a/+/x", "b/#", "a/1", "b/2/x", "none"} {
		c := drunk[i%2]
		v := client.NewView[json.RawMessage](ctx, c, pattern)
		defer v.Close()
		x.views[pattern] = v
		w := &tally{pattern: pattern, entries: map[string]client.Change[json.RawMessage]{}, versions: map[string]uint64{}}
		x.watches = append(x.watches, w)
		running.Go(func() { x.watch(ctx, c, w) })
	}
	running.Go(func() { x.write(ctx, x.sober) })
	running.Go(func() { x.write(ctx, x.sober) })
	for _, c := range drunk {
		running.Go(func() { x.write(ctx, c) })
	}
	running.Go(func() { x.listen(ctx, drunk[0]) })
	running.Go(func() { x.publish(ctx) })
	for round := range rounds {
		what := x.mischief()
		x.heal()
		x.compare(round, what)
		if x.t.Failed() {
			return
		}
	}
	open, total := x.proxy.Connections()
	x.t.Logf("%d writes, %d of unknown outcome; %d connections, %d open", x.writes.Load(), x.lost.Load(), total, open)
	if total < rounds/2 {
		x.t.Errorf("only %d connections", total)
	}
}

// wait waits for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// mischief does one thing to the connections, and returns its name.
func (x *chaos) mischief() string {
	random := func(milliseconds int) time.Duration {
		return time.Duration(x.random.IntN(milliseconds*1000)) * time.Microsecond
	}
	pause := func(milliseconds int) { wait(x.t.Context(), random(milliseconds)) }
	pause(5) // the writers go on
	switch n := x.random.IntN(40); {
	case n == 0:
		x.restart()
		return "restart"
	case n < 20:
		x.proxy.Cut()
		return "cut"
	case n < 24:
		x.proxy.Refuse(true)
		x.proxy.Cut()
		pause(20)
		return "refuse"
	case n < 28:
		x.proxy.Stall(true)
		pause(80) // sometimes long enough to be given up
		return "stall"
	case n < 32:
		x.proxy.Delay(random(10))
		pause(20)
		return "delay"
	default:
		x.proxy.Swallow(true)
		pause(30)
		x.proxy.Cut() // TCP loses no bytes in the middle of a connection
		return "swallow"
	}
}

func (x *chaos) heal() {
	x.proxy.Stall(false)
	x.proxy.Delay(0)
	x.proxy.Refuse(false)
	x.proxy.Swallow(false)
}

// restart replaces the server while writers wait for their replies.
func (x *chaos) restart() {
	x.server.Stop()
	x.start()
	x.proxy.Retarget(x.server.Addr)
	x.direct.Retarget(x.server.Addr)
}

// write writes random keys until ctx ends.
func (x *chaos) write(ctx context.Context, c *client.Client) {
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for ctx.Err() == nil {
		x.writing.RLock()
		err := x.writeOne(ctx, c, random)
		x.writing.RUnlock()
		x.writes.Add(1)
		switch {
		case errors.Is(err, client.ErrUnknownOutcome):
			x.lost.Add(1)
		case err == nil, errors.Is(err, client.ErrOffline), errors.Is(err, client.ErrNotFound), ctx.Err() != nil:
		default:
			var refusal *client.Error
			if errors.As(err, &refusal) && refusal.Code == "unavailable" { // the server is leaving
				continue
			}
			x.t.Errorf("a write: %v", err)
			return
		}
	}
}

func (x *chaos) writeOne(ctx context.Context, c *client.Client, random *rand.Rand) error {
	wait(ctx, time.Duration(random.IntN(500))*time.Microsecond)
	key := fmt.Sprintf("%c/%d", 'a'+rune(random.IntN(2)), random.IntN(20))
	if random.IntN(2) == 0 {
		key += "/x"
	}
	value := random.IntN(1_000_000)
	var err error
	switch random.IntN(8) {
	case 0:
		_, err = client.Delete(ctx, c, key)
	case 1:
		_, err = client.Set(ctx, c, key, value, client.TTL(5*time.Millisecond))
	case 2: // sent twice, it would fail with a version mismatch
		_, err = client.Push(ctx, c, "b/pushed", value, client.TTL(time.Second))
	case 3:
		_, _, err = client.Get[json.RawMessage](ctx, c, key)
	default:
		_, err = client.Set(ctx, c, key, value)
	}
	return err
}

// watch adds up a watch, and fails if a version goes back.
func (x *chaos) watch(ctx context.Context, c *client.Client, w *tally) {
	for change, err := range client.Watch[json.RawMessage](ctx, c, w.pattern, client.WithMarks()) {
		if err != nil {
			if ctx.Err() == nil {
				x.t.Errorf("the watch of %s ends: %v", w.pattern, err)
			}
			return
		}
		w.mu.Lock()
		switch {
		case change.Mark != client.NoMark:
			w.synced = change.Mark == client.Synced
		case change.Version <= w.versions[change.Key]:
			x.t.Errorf("%s: version %d of %s came after %d", w.pattern, change.Version, change.Key, w.versions[change.Key])
		default:
			w.versions[change.Key] = change.Version
			if change.Deleted {
				delete(w.entries, change.Key)
			} else {
				w.entries[change.Key] = change
			}
		}
		w.mu.Unlock()
	}
}

// publish publishes rising numbers.
func (x *chaos) publish(ctx context.Context) {
	for n := 1; ctx.Err() == nil; {
		err := client.Publish(ctx, x.sober, "numbers", n)
		if errors.Is(err, client.ErrUnknownOutcome) {
			x.doubtful.Store(n, true)
		}
		if err == nil || errors.Is(err, client.ErrUnknownOutcome) {
			n++
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, client.ErrOffline) && !errors.Is(err, client.ErrUnknownOutcome) {
			var refusal *client.Error
			if !errors.As(err, &refusal) || refusal.Code != "unavailable" {
				x.t.Errorf("publish: %v", err)
				return
			}
		}
		wait(ctx, time.Millisecond)
	}
}

// listen fails if a number comes twice or out of order, or if one is missing without a
// notice.
func (x *chaos) listen(ctx context.Context, c *client.Client) {
	last, missed := 0, true
	for m, err := range client.Listen[int](ctx, c, "numbers") {
		switch {
		case err != nil:
			if ctx.Err() == nil {
				x.t.Errorf("the listener ends: %v", err)
			}
			return
		case m.Missed != 0:
			missed = true
		case m.Value <= last, !missed && !x.mayLack(last+1, m.Value):
			x.t.Errorf("number %d came after %d", m.Value, last)
		default:
			last, missed = m.Value, false
		}
	}
}

// mayLack reports whether each number from first on and before end may be missing.
func (x *chaos) mayLack(first, end int) bool {
	for n := first; n < end; n++ {
		if _, ok := x.doubtful.Load(n); !ok {
			return false
		}
	}
	return true
}

// compare stops the writers and waits until every view and watch has the server's state.
func (x *chaos) compare(round int, what string) {
	x.writing.Lock()
	defer x.writing.Unlock()
	var difference string
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		difference = x.difference()
		if difference == "" {
			return
		}
		if time.Now().After(end) {
			x.t.Errorf("round %d, after %s: %s", round, what, difference)
			return
		}
	}
}

func (x *chaos) difference() string {
	all := map[string]uint64{}
	for e, err := range client.List[json.RawMessage](x.t.Context(), x.sober, client.ListOptions{PageSize: 1000}) {
		if err != nil {
			return err.Error()
		}
		all[e.Key] = e.Version
	}
	for pattern, v := range x.views {
		got := map[string]uint64{}
		for key, e := range v.All() {
			got[key] = e.Version
		}
		if want := matching(pattern, all); v.Stale() || v.Err() != nil || !maps.Equal(got, want) {
			return fmt.Sprintf("the view of %s has %v, want %v (stale %t, %v)", pattern, got, want, v.Stale(), v.Err())
		}
	}
	for _, w := range x.watches {
		w.mu.Lock()
		got, synced := map[string]uint64{}, w.synced
		for key, e := range w.entries {
			got[key] = e.Version
		}
		w.mu.Unlock()
		if want := matching(w.pattern, all); !synced || !maps.Equal(got, want) {
			return fmt.Sprintf("the watch of %s has %v, want %v (synced %t)", w.pattern, got, want, synced)
		}
	}
	return ""
}

func matching(pattern string, all map[string]uint64) map[string]uint64 {
	found := map[string]uint64{}
	for key, version := range all {
		if keyspace.Matches(pattern, key) {
			found[key] = version
		}
	}
	return found
}
