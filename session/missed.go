package session

import (
	"maps"
	"slices"

	"rtdb/keyspace"
)

// pushMessage adds a message of a topic, or drops it if more than limit bytes of
// topics would wait. If earlier messages of the topic were dropped, it first adds a notice
// with their number, which the function missed encodes. It reports the same as push, and
// whether messages of so many topics were dropped that no more can be counted.
func (b *outbox) pushMessage(m *Message, limit int64, missed func(string, uint64) []byte) (wake, behind, full bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.offered++
	topic := m.update.Target.Name
	if b.topics > 0 && b.topics+int64(len(m.Text())) > limit { // a lone message may have any length
		b.missedAll++
		return false, false, !b.missLocked(topic)
	}
	b.gaps = nil
	if n := b.missed[topic]; n > 0 {
		b.forgetMissedLocked(topic)
		notice := newText(missed(topic, n))
		notice.own.revision = m.Revision()
		b.appendLocked(&notice)
	}
	wake, behind = b.addLocked(m)
	return wake, behind, false
}

// pushGap adds the notice of a gap: an unknown number of messages of a topic, or of topics
// that match a pattern, did not come to the keyspace. The notice stands for the messages of
// the topic that were dropped before it, too, so their number is forgotten. Nothing is added
// if such a notice of the target waits, and neither a message of a topic nor a reply came
// after it: then all messages that are missing belong between the same two messages. So the
// notices that wait are bounded by the subscriptions and the messages that wait. It reports
// the same as push.
func (b *outbox) pushGap(t keyspace.Target, m *Message) (wake, behind bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.Kind == keyspace.KindTopic {
		b.forgetMissedLocked(t.Name)
	}
	if number, ok := b.gaps[t]; ok && number >= max(b.fence, b.base+uint64(b.head)) {
		return false, b.behindLocked()
	}
	if b.gaps == nil {
		b.gaps = make(map[keyspace.Target]uint64)
	}
	b.appendLocked(m)
	b.gaps[t] = b.base + uint64(len(b.items)) - 1
	return b.wakeLocked(), b.behindLocked()
}

const (
	// missedEntry estimates the memory of an entry of missed, without the topic's name.
	missedEntry = 64

	// maxMissedBytes limits the memory of missed. A client that listens to a pattern may
	// miss messages of any number of topics.
	maxMissedBytes = 4 << 20
)

// missLocked counts a message of a topic that is dropped. It reports false if there is no
// space for one more topic.
func (b *outbox) missLocked(topic string) bool {
	if b.missed[topic] == 0 {
		if b.missedBytes += int64(len(topic)) + missedEntry; b.missedBytes > maxMissedBytes {
			return false
		}
		if b.missed == nil {
			b.missed = make(map[string]uint64)
		}
	}
	b.missed[topic]++
	return true
}

// missedTopics returns the topics of which messages were dropped.
func (b *outbox) missedTopics() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.missed))
}

// forgetMissed forgets the dropped messages of topics that the client is no longer
// subscribed to.
func (b *outbox) forgetMissed(topics []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, topic := range topics {
		b.forgetMissedLocked(topic)
	}
}

func (b *outbox) forgetMissedLocked(topic string) {
	if b.missed[topic] == 0 {
		return
	}
	delete(b.missed, topic)
	b.missedBytes -= int64(len(topic)) + missedEntry
	if len(b.missed) == 0 {
		b.missed = nil
	}
}
