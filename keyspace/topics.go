package keyspace

import (
	"slices"
	"strings"
)

// A TopicEntry is a topic that has subscribers.
type TopicEntry struct {
	Topic       string
	Subscribers int // of the topic itself, without those of patterns
}

// Topics returns one page of the topics that have subscribers, sorted by the bytes of
// their names. next is the end of the page if more follows, otherwise "". Query.Levels is
// ignored. Topics looks at all topics for each page.
func (ks *Keyspace) Topics(q Query) (page []TopicEntry, next string, err error) {
	q.Levels = false
	if err := q.check(); err != nil {
		return nil, "", err
	}
	for t := range ks.topics.actors() {
		n := int(t.subscribed.Load())
		if n > 0 && strings.HasPrefix(t.name, q.Prefix) && (q.Pattern == "" || Matches(q.Pattern, t.name)) {
			page = append(page, TopicEntry{t.name, n})
		}
	}
	order := 1
	if q.Reverse {
		order = -1
	}
	slices.SortFunc(page, func(a, b TopicEntry) int { return order * strings.Compare(a.Topic, b.Topic) })
	if q.After != "" {
		page = slices.DeleteFunc(page, func(t TopicEntry) bool { return order*strings.Compare(t.Topic, q.After) <= 0 })
	}
	if len(page) > q.Limit {
		page = page[:q.Limit]
		next = page[q.Limit-1].Topic
	}
	return page, next, nil
}
