package bench

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
)

// A plan says what the keys are called, who subscribes to them and who writes
// them.
type plan struct {
	prefix        string // of every key of this run
	keys          int
	subscriptions int
	publishers    int
	subscribers   int
	slow          float64
}

func newPlan(o Options) plan {
	var random [4]byte
	_, _ = rand.Read(random[:]) // it never fails
	return plan{
		prefix: "bench/" + hex.EncodeToString(random[:]) + "/",
		keys:   o.Keys, subscriptions: o.Subscriptions, publishers: o.Publishers,
		subscribers: o.Subscribers, slow: o.Slow,
	}
}

func (p plan) name(key int) string {
	return p.prefix + strconv.Itoa(key)
}

// first is the first of a subscriber's keys. They follow one another, around the
// end; the next subscriber's follow on them, so all keys have as many
// subscribers as one another, or one more.
func (p plan) first(subscriber int) int {
	return int(int64(subscriber) * int64(p.subscriptions) % int64(p.keys))
}

// at is the place of a key among those of a subscriber whose first is known.
// It is no place where it is past the subscriptions.
func (p plan) at(first, key int) int {
	if key < first {
		key += p.keys
	}
	return key - first
}

// readsSlowly says whether a subscriber reads slowly. They are spread evenly.
func (p plan) readsSlowly(subscriber int) bool {
	return int(float64(subscriber+1)*p.slow+1e-9) > int(float64(subscriber)*p.slow+1e-9)
}

// fanout counts the subscribers of each key that do not read slowly.
func (p plan) fanout() []int64 {
	fanout := make([]int64, p.keys)
	for i := range p.subscribers {
		if p.readsSlowly(i) {
			continue
		}
		first := p.first(i)
		for at := range p.subscriptions {
			fanout[(first+at)%p.keys]++
		}
	}
	return fanout
}

// written lists a publisher's keys.
func (p plan) written(publisher int) (keys []int) {
	for key := publisher; key < p.keys; key += p.publishers {
		keys = append(keys, key)
	}
	return keys
}
