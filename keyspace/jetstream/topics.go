package jetstream

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"rtdb/keyspace"
)

// Topics are not in the stream. A message of a topic is published over core NATS: at most
// once, in the order of each publishing node. It begins with the node's process and a number,
// because a message that several subscriptions of a node match comes once for each.
const topicHeader = 8 + 8

// topicPending is how many messages of topics may wait until they are passed on. Further ones
// are dropped, and count as missed.
const topicPending = 1 << 16

// A bus carries the messages of topics.
type bus struct {
	incoming chan *nats.Msg
	lost     chan struct{} // holds a token if messages may be missing

	sending sync.Mutex
	number  uint64 // of the last message that was sent

	mu       sync.Mutex
	receiver keyspace.Receiver // nil: nobody has listened yet
	listened map[keyspace.Target][]*nats.Subscription

	last map[uint64]uint64 // by process, the number of the last message; only run uses it
}

// maxProcesses is the number of processes after which a bus forgets those that it has heard
// of. So many never publish at the same time.
const maxProcesses = 1 << 12

// Publish implements [keyspace.Bus].
func (s *Store) Publish(topic string, value []byte) error {
	data := make([]byte, topicHeader, topicHeader+len(value))
	binary.BigEndian.PutUint64(data, uint64(s.process))
	data = append(data, value...)
	subject := s.subjects.topics + encodeName(topic)
	s.bus.sending.Lock()
	defer s.bus.sending.Unlock()
	s.bus.number++
	binary.BigEndian.PutUint64(data[8:], s.bus.number)
	if err := s.conn.Publish(subject, data); err != nil {
		return fmt.Errorf("%w: %w", keyspace.ErrCutOff, err)
	}
	return nil
}

// Listen implements [keyspace.Bus].
func (s *Store) Listen(t keyspace.Target, r keyspace.Receiver) {
	names := []string{encodeName(t.Name)}
	if t.Kind == keyspace.KindTopicPattern {
		names = encodePattern(t.Name)
	}
	b := &s.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.receiver == nil {
		b.receiver = r
		if !s.start(func() { s.receiveTopics(r) }) {
			return
		}
	}
	if b.listened == nil {
		b.listened = map[keyspace.Target][]*nats.Subscription{}
	}
	for _, name := range names {
		// It fails if the connection is closed. Then nothing comes any more.
		if sub, err := s.conn.ChanSubscribe(s.subjects.topics+name, b.incoming); err == nil {
			b.listened[t] = append(b.listened[t], sub)
		}
	}
}

// Unlisten implements [keyspace.Bus].
func (s *Store) Unlisten(t keyspace.Target) {
	b := &s.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, sub := range b.listened[t] {
		_ = sub.Unsubscribe() // it fails if the connection is closed
	}
	delete(b.listened, t)
}

// receiveTopics passes messages to the keyspace until the store is closed.
func (s *Store) receiveTopics(r keyspace.Receiver) {
	b := &s.bus
	for {
		select {
		case <-b.lost:
			r.Missed()
			continue
		default:
		}
		select {
		case <-b.lost:
			r.Missed()
		case m := <-b.incoming:
			if topic, value, ok := s.newMessage(m); ok {
				r.Message(topic, value)
			}
		case <-s.lifetime.Done():
			return
		}
	}
}

// newMessage reads a message of a topic. ok is false if it is not one, or has come before.
func (s *Store) newMessage(m *nats.Msg) (topic string, value []byte, ok bool) {
	topic, err := decodeName(strings.TrimPrefix(m.Subject, s.subjects.topics))
	if err != nil || len(m.Data) <= topicHeader {
		return "", nil, false
	}
	process, number := binary.BigEndian.Uint64(m.Data), binary.BigEndian.Uint64(m.Data[8:])
	b := &s.bus
	if number <= b.last[process] {
		return "", nil, false
	}
	if b.last == nil || len(b.last) >= maxProcesses {
		b.last = map[uint64]uint64{}
	}
	b.last[process] = number
	return topic, m.Data[topicHeader:], true
}

// loseMessages notes that messages of topics may be missing.
func (b *bus) loseMessages() {
	select {
	case b.lost <- struct{}{}:
	default: // the subscribers are about to be told
	}
}

func (s *Store) lossSubject() string { return s.subjects.services + "loss" }

// tellLoss tells the other nodes that this one has lost its connection. What it had published
// last may be lost, or come after what it publishes next, and then it is dropped.
func (s *Store) tellLoss() {
	_ = s.conn.Publish(s.lossSubject(), nil) // if it fails, the connection is lost again
}

// subscribeLosses receives what tellLoss sends.
func (s *Store) subscribeLosses() error {
	_, err := s.conn.Subscribe(s.lossSubject(), func(*nats.Msg) { s.bus.loseMessages() })
	return err
}

// publishWills publishes the wills for topics, to other nodes and here. Their record is empty
// by now, so they are published at most once.
func (s *Store) publishWills(kept []keptWill) error {
	for _, w := range kept {
		if w.Topic == "" {
			continue
		}
		s.bus.mu.Lock()
		r := s.bus.receiver
		s.bus.mu.Unlock()
		if r != nil {
			r.Message(w.Topic, w.Value)
		}
		if err := s.Publish(w.Topic, w.Value); err != nil {
			return err
		}
	}
	return nil
}
