package client

import (
	"context"
	"encoding/json"
	"iter"
	"sync"
)

const (
	maxWaitingMessages = 1024    // for a listener
	maxWaitingBytes    = 1 << 20 // of their values
	maxMissedTopics    = 1024    // whose missed messages are counted apart
)

// A Message is a message of a topic, or says that messages were missed.
type Message[T any] struct {
	Topic string
	Value T

	// Missed is not 0 if the Message says that messages of the topic were lost. It is their
	// number, or -1 if that is not known. Then there is no Value, and Topic may be a
	// pattern.
	Missed int
}

// Listen yields the messages of a topic, or of the topics that match a pattern, from now
// on. The subscription begins with the loop and ends with it.
//
// A topic holds nothing, so messages may be lost: while there is no connection, and if 1024
// messages or 1 MiB wait because the consumer is slow. Then a Message with Missed comes in their
// place.
//
// The loop ends with its first error, as the loop of [Watch] does.
func Listen[T any](ctx context.Context, c *Client, topic string) iter.Seq2[Message[T], error] {
	return func(yield func(Message[T], error) bool) {
		b := &backlog{name: topic, ready: make(chan struct{}, 1), missed: make(map[string]int)}
		s, err := c.subscribe(selector{topics: true, name: topic}, b)
		if err != nil {
			yield(Message[T]{}, err)
			return
		}
		defer c.unsubscribe(s, b)
		for {
			m, err := b.next(ctx)
			var message Message[T]
			if err == nil {
				message, err = decodeMessage[T](m)
			}
			if !yield(message, err) || err != nil {
				return
			}
		}
	}
}

func decodeMessage[T any](m topicMessage) (Message[T], error) {
	if m.missed != 0 {
		return Message[T]{Topic: m.topic, Missed: m.missed}, nil
	}
	value, err := decodeValue[T](m.topic, m.value)
	if err != nil {
		return Message[T]{}, err
	}
	return Message[T]{Topic: m.topic, Value: value}, nil
}

type topicMessage struct {
	topic  string
	value  json.RawMessage
	missed int
}

// A backlog holds the messages that wait for a listener.
type backlog struct {
	name  string        // of the topic, or the pattern
	ready chan struct{} // has room for one; gets an element if there is something new

	mu       sync.Mutex
	messages []topicMessage
	bytes    int            // of their values
	missed   map[string]int // by topic; not told yet
	err      error          // after the messages
}

// received implements sink.
func (b *backlog) received(topic string, m *message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	lost := m.missed()
	// A message that is longer than the limit may wait alone.
	if n := len(b.messages); n >= maxWaitingMessages || n > 0 && b.bytes+len(m.Value) > maxWaitingBytes {
		b.missLocked(topic, lost)
		return
	}
	if n := b.missed[topic]; n != 0 {
		delete(b.missed, topic)
		b.messages = append(b.messages, topicMessage{topic: topic, missed: n})
	}
	if lost != 0 {
		b.messages = append(b.messages, topicMessage{topic: topic, missed: lost})
	} else {
		b.messages = append(b.messages, topicMessage{topic: topic, value: m.Value})
		b.bytes += len(m.Value)
	}
	b.wake()
}

// missLocked counts lost messages of a topic; 0 stands for the one that has no room.
func (b *backlog) missLocked(topic string, lost int) {
	if b.missed[topic] == 0 && len(b.missed) >= maxMissedTopics {
		topic = b.name
	}
	lost = max(lost, -1)
	switch before := b.missed[topic]; {
	case before < 0 || lost < 0:
		b.missed[topic] = -1
	default:
		b.missed[topic] = before + max(lost, 1)
	}
}

// changed implements sink.
func (b *backlog) changed(string, *entry, bool) {}

// marked implements sink.
func (b *backlog) marked(bool, bool) {}

// ended implements sink.
func (b *backlog) ended(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
	b.wake()
}

func (b *backlog) wake() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

func (b *backlog) next(ctx context.Context) (topicMessage, error) {
	for {
		if err := ctx.Err(); err != nil {
			return topicMessage{}, err
		}
		if m, ok, err := b.take(); ok || err != nil {
			return m, err
		}
		select {
		case <-b.ready:
		case <-ctx.Done():
		}
	}
}

func (b *backlog) take() (m topicMessage, ok bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.messages) == 0 {
		for topic, n := range b.missed {
			delete(b.missed, topic)
			return topicMessage{topic: topic, missed: n}, true, nil
		}
		return topicMessage{}, false, b.err
	}
	m = b.messages[0]
	b.messages[0] = topicMessage{}
	b.messages = b.messages[1:]
	b.bytes -= len(m.value)
	if len(b.messages) == 0 {
		b.messages = nil // frees the array
	}
	return m, true, nil
}
