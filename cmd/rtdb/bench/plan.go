package bench

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
)

// A plan names the keys of a run and assigns them to publishers and subscribers.
// Keys, publishers and subscribers are numbered from 0. A plan does not change, so
// any goroutine may use it.
type plan struct {
	prefix        string // of every key of this run
	keys          int
	subscriptions int // keys for each subscriber
	publishers    int
	subscribers   int
	slow          float64 // share of the subscribers, 0 to 1
}

func newPlan(o Options) plan {
	var random [4]byte
	_, _ = rand.Read(random[:]) // it never returns an error
	return plan{
		prefix: "bench/" + hex.EncodeToString(random[:]) + "/",
		keys:   o.Keys, subscriptions: o.Subscriptions, publishers: o.Publishers,
		subscribers: o.Subscribers, slow: o.Slow,
	}
}

// keyName returns the name of a key.
func (p plan) keyName(key int) string {
	return p.prefix + strconv.Itoa(key)
}

// firstKey returns the first key of a subscriber. Its other keys follow, and key 0
// follows the last key. The next subscriber's keys begin after them. So the numbers
// of subscribers of any two keys differ by at most one.
func (p plan) firstKey(subscriber int) int {
	return int(int64(subscriber) * int64(p.subscriptions) % int64(p.keys))
}

// position returns the index of a key among the keys of the subscriber with this
// first key. If the result is not less than p.subscriptions, the subscriber has not
// subscribed to the key.
func (p plan) position(firstKey, key int) int {
	if key < firstKey {
		key += p.keys
	}
	return key - firstKey
}

// keyAt returns the key at a position; it is the inverse of position.
func (p plan) keyAt(firstKey, position int) int {
	return (firstKey + position) % p.keys
}

// isSlow reports whether a subscriber reads slowly. The slow subscribers are spread
// evenly.
func (p plan) isSlow(subscriber int) bool {
	// 1e-9 makes up for products such as 100*0.29, which is less than 29.
	return int(float64(subscriber+1)*p.slow+1e-9) > int(float64(subscriber)*p.slow+1e-9)
}

// fanouts returns, for each key, the number of its subscribers that do not read
// slowly.
func (p plan) fanouts() []int64 {
	fanouts := make([]int64, p.keys)
	for i := range p.subscribers {
		if p.isSlow(i) {
			continue
		}
		first := p.firstKey(i)
		for position := range p.subscriptions {
			fanouts[p.keyAt(first, position)]++
		}
	}
	return fanouts
}

// keysOf returns the keys that a publisher writes.
func (p plan) keysOf(publisher int) (keys []int) {
	for key := publisher; key < p.keys; key += p.publishers {
		keys = append(keys, key)
	}
	return keys
}
