package storetest

import (
	"rtdb/keyspace"
)

// A hubMessage is a message of a topic on its way to a keyspace.
type hubMessage struct {
	topic  string
	value  []byte
	missed bool // it says that messages may be missing
}

// Publish implements [keyspace.Bus].
func (s *HubStore) Publish(topic string, value []byte) error {
	if err := s.check(); err != nil {
		return err
	}
	s.hub.mu.Lock()
	others := s.hub.stores
	s.hub.mu.Unlock()
	for _, other := range others {
		if other != s && other.check() == nil {
			other.send(hubMessage{topic: topic, value: value})
		}
	}
	return nil
}

// send puts a message on its way to the store's keyspace, if that listens to it.
func (s *HubStore) send(m hubMessage) {
	s.mailMu.Lock()
	defer s.mailMu.Unlock()
	if s.receiver != nil && (m.missed || s.listensToLocked(m.topic)) {
		s.mail = append(s.mail, m)
		signal(s.mailed)
	}
}

func (s *HubStore) listensToLocked(topic string) bool {
	for t := range s.listens {
		if t.Name == topic || t.Kind == keyspace.KindTopicPattern && keyspace.Matches(t.Name, topic) {
			return true
		}
	}
	return false
}

// Miss loses the messages of topics that are on their way to the store's keyspace, and tells
// the keyspace.
func (s *HubStore) Miss() {
	s.mailMu.Lock()
	s.mail = nil
	s.mailMu.Unlock()
	s.send(hubMessage{missed: true})
}

// Listens returns the number of targets that the keyspace listens to.
func (s *HubStore) Listens() int {
	s.mailMu.Lock()
	defer s.mailMu.Unlock()
	return len(s.listens)
}

// Listen implements [keyspace.Bus].
func (s *HubStore) Listen(t keyspace.Target, r keyspace.Receiver) {
	s.mailMu.Lock()
	defer s.mailMu.Unlock()
	if s.ctx.Err() != nil {
		return
	}
	if s.listens[t] {
		panic("storetest: Listen was called twice for " + t.Name)
	}
	s.listens[t] = true
	if s.receiver == nil {
		s.running.Go(func() { s.passMail(r) })
	}
	s.receiver = r
}

// Unlisten implements [keyspace.Bus].
func (s *HubStore) Unlisten(t keyspace.Target) {
	s.mailMu.Lock()
	defer s.mailMu.Unlock()
	if s.ctx.Err() == nil && !s.listens[t] {
		panic("storetest: Unlisten was called without Listen for " + t.Name)
	}
	delete(s.listens, t)
}

// passMail passes the messages of topics to the keyspace.
func (s *HubStore) passMail(r keyspace.Receiver) {
	for {
		select {
		case <-s.mailed:
		case <-s.ctx.Done():
			return
		}
		if s.hub.pause(s.ctx) != nil {
			return
		}
		s.mailMu.Lock()
		mail := s.mail
		s.mail = nil
		s.mailMu.Unlock()
		if f := s.hub.fault.mail; f != nil {
			mail = f(s, mail)
		}
		for _, m := range mail {
			if m.missed {
				r.Missed()
			} else {
				r.Message(m.topic, m.value)
			}
		}
	}
}
