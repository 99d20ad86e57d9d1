package storetest

import (
	"context"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"rtdb/keyspace"
)

// A Hub is a model of a distributed store: it keeps the writes of several keyspaces, in the
// memory of one process. Each keyspace has a [HubStore]. A keyspace's own tests use it to
// meet delays, lost answers and cut-offs at will. The suite itself is tested with hubs that
// are broken on purpose.
//
// The hub numbers commits. A commit with the number n gives its writes the versions 16n,
// 16n+1 and so on.
type Hub struct {
	o     HubOptions
	fault hubFault

	mu        sync.Mutex
	epoch     string
	commits   []hubCommit          // the commit n is at n-1
	newest    map[string]hubCommit // by key
	values    map[string]hubCommit // by key; unlike newest, without commits that have no records
	forgotten uint64               // deletes up to this version may be missing
	stores    []*HubStore
}

// HubOptions are the settings of a [Hub]. The zero value is a network without faults and
// without delays.
type HubOptions struct {
	// Delay returns how long a message takes: a proposal, its answer, or some records of the
	// feed. Many goroutines call it at the same time. nil: no time.
	Delay func() time.Duration

	// Outcome returns the fate of a commit. Many goroutines call it at the same time. nil:
	// each is Answered.
	Outcome func() Outcome

	// Echo says that the feed passes a keyspace's own records, too, and records that it has
	// passed before.
	Echo bool

	// Newest says that the feed passes only the newest of the records of a key that it
	// finds at once.
	Newest bool
}

// An Outcome is the fate of a commit.
type Outcome int

const (
	Answered Outcome = iota // the keyspace gets the answer
	Unheard                 // the commit is made or refused, and the answer is lost
	Late                    // the commit is made or refused after Commit has returned
	Lost                    // the commit is not made, and the keyspace does not know it
)

// hubFault is a way in which a hub is broken. The zero value breaks nothing.
type hubFault struct {
	blind     bool                                                           // it accepts commits without comparing positions
	silent    bool                                                           // a conflict comes without the records
	early     bool                                                           // it advances before it passes the records
	noBarrier bool                                                           // a barrier returns at once
	stuck     bool                                                           // it never advances
	gap       bool                                                           // the feed begins when the keyspace follows, not at the end of the load
	deliver   func(s *HubStore, commits []hubCommit) (remaining []hubCommit) // changes the commits that the feed passes
	number    func(s *HubStore, w *keyspace.Record)                          // changes a record that one keyspace gets by the feed
	load      func(w *keyspace.Record) bool                                  // changes a record that is loaded; false: it is not loaded
	history   func(s *HubStore, h *keyspace.History)                         // changes the result of Load
	mail      func(s *HubStore, mail []hubMessage) []hubMessage              // changes the messages of topics that a keyspace gets
}

// A hubCommit is one commit, or a record that means nothing to keyspaces.
type hubCommit struct {
	number  uint64
	key     string
	records []keyspace.Record
	by      *HubStore // the keyspace that has made it and will get the answer; else nil
}

// position returns the position of the commit's records.
func (c *hubCommit) position() uint64 {
	return c.number*keyspace.MaxSharedRun + uint64(max(1, len(c.records))) - 1
}

// isDelete reports whether the key has no value after the commit.
func (c *hubCommit) isDelete() bool { return c.records[len(c.records)-1].Value == nil }

// NewHub returns a hub that holds nothing.
func NewHub(o HubOptions) *Hub {
	return &Hub{o: o, epoch: fmt.Sprintf("hub %016x", rand.Uint64()), newest: map[string]hubCommit{}, values: map[string]hubCommit{}}
}

// Open returns the store of one more keyspace.
func (h *Hub) Open() *HubStore {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &HubStore{hub: h, index: len(h.stores), grown: make(chan struct{}, 1), mailed: make(chan struct{}, 1), listens: map[keyspace.Target]bool{}}
	s.ctx, s.end = context.WithCancel(context.Background())
	h.stores = append(h.stores, s)
	return s
}

// Scribble writes a record that means nothing to keyspaces.
func (h *Hub) Scribble(key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.appendLocked(hubCommit{key: key})
}

// ForgetDeletes forgets all deletes, as a store does after some time.
func (h *Hub) ForgetDeletes() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, c := range h.values {
		if c.isDelete() {
			delete(h.values, key)
			delete(h.newest, key)
			h.forgotten = max(h.forgotten, c.position())
		}
	}
}

// propose makes a commit if the proposer knows the key's newest record. Otherwise it returns
// the number of a commit that the proposer has to know first. The caller's writes get their
// versions.
func (h *Hub) propose(by *HubStore, answered bool, writes []keyspace.Record) (newer uint64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	position := uint64(0)
	newest, found := h.newest[writes[0].Key]
	if found {
		position = newest.position()
	}
	if writes[0].Position != position && !h.fault.blind {
		newer = newest.number
		if !found { // the key's delete was forgotten
			newer = uint64(len(h.commits))
		}
		return newer, &keyspace.ConflictError{Position: position}
	}
	c := hubCommit{key: writes[0].Key, records: slices.Clone(writes)}
	if answered {
		c.by = by
	}
	h.appendLocked(c)
	copyNumbers(writes, c.records)
	return 0, nil
}

// appendLocked gives a commit its number, and its records their versions.
func (h *Hub) appendLocked(c hubCommit) {
	c.number = uint64(len(h.commits)) + 1
	for i := range c.records {
		w := &c.records[i]
		w.Expires, w.Position = w.Expires.Round(0), c.position()
		if !w.Touch {
			w.Version = c.number*keyspace.MaxSharedRun + uint64(i)
		}
	}
	h.commits = append(h.commits, c)
	h.newest[c.key] = c
	if len(c.records) > 0 {
		h.values[c.key] = c
	}
	for _, s := range h.stores {
		signal(s.grown)
	}
}

// signal puts a token into a channel that has room for one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func copyNumbers(to, from []keyspace.Record) {
	for i := range to {
		to[i].Version, to[i].Position = from[i].Version, from[i].Position
	}
}

// load returns the newest commits of all keys in their order, and the last number.
func (h *Hub) load() (commits []hubCommit, history keyspace.History, last uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	commits = slices.SortedFunc(maps.Values(h.values), func(a, b hubCommit) int { return int(a.number) - int(b.number) })
	last = uint64(len(h.commits))
	return commits, keyspace.History{Epoch: h.epoch, Last: lastVersion(last), Forgotten: h.forgotten}, last
}

// after returns the commits after a number, up to another one.
func (h *Hub) after(number, last uint64) []hubCommit {
	h.mu.Lock()
	defer h.mu.Unlock()
	commits := slices.Clone(h.commits[number:max(number, last)])
	if h.o.Newest {
		commits = slices.DeleteFunc(commits, func(c hubCommit) bool {
			newest := h.values[c.key].number
			return c.number < newest && newest <= last
		})
	}
	return commits
}

// last returns the number of the last commit.
func (h *Hub) last() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return uint64(len(h.commits))
}

// lastVersion returns the highest version that a commit can have.
func lastVersion(number uint64) uint64 {
	return number*keyspace.MaxSharedRun + keyspace.MaxSharedRun - 1
}

// pause waits as long as a message takes. It returns the cause of ctx if ctx ends first.
func (h *Hub) pause(ctx context.Context) error {
	if h.o.Delay == nil {
		return nil
	}
	timer := time.NewTimer(h.o.Delay())
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ownerOf returns the index of the keyspace that deletes a key when it has expired.
func (h *Hub) ownerOf(key string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return int(crc32.ChecksumIEEE([]byte(key)) % uint32(len(h.stores)))
}
