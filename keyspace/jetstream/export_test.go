package jetstream

import (
	"encoding/binary"
	"time"

	"github.com/nats-io/nats.go"

	"rtdb/keyspace"
)

// Config returns the settings of a stream, for tests that compare with other programs.
var Config = config

// Crash ends a store as a kill of its process does: it says nothing to the other nodes.
func (s *Store) Crash() {
	s.closing.Lock()
	s.isClosed = true
	s.closing.Unlock()
	s.end(ErrClosed)
	s.conn.Close()
	s.running.Wait()
}

// LimitPending limits the number of messages that wait for the feed. More are dropped.
func (s *Store) LimitPending(messages int) error {
	return s.fed.SetPendingLimits(messages, feedPendingBytes)
}

// ParseAnswer returns the sequence that an answer of the stream has, 0 if it refuses.
func ParseAnswer(data []byte) uint64 { return parseAnswer(&nats.Msg{Data: data}).sequence }

// Received returns the bytes of all messages that the store has received.
func (s *Store) Received() uint64 { return s.conn.Stats().InBytes }

// SetClock sets the clock of the store's machine ahead of the real time. The keyspace's own
// clock stays right.
func (s *Store) SetClock(ahead time.Duration) {
	s.clock.mu.Lock()
	defer s.clock.mu.Unlock()
	s.clock.ahead = ahead
}

// Published returns the number of commits, and of the parcels that they were published in.
func (s *Store) Published() (commits, parcels uint64) {
	s.proposals.mu.Lock()
	commits = s.proposals.last
	s.proposals.mu.Unlock()
	s.outbox.mu.Lock()
	defer s.outbox.mu.Unlock()
	return commits, s.outbox.last
}

// EncodeName, DecodeName and EncodePattern are the subjects of names.
var (
	EncodeName    = encodeName
	DecodeName    = decodeName
	EncodePattern = encodePattern
)

// EncodeCommit returns the message of a commit.
func EncodeCommit(subject string, writes []keyspace.Record) []byte {
	return appendCommit(nil, subject, operation{1, 2}, writes, 0)
}

// Seal appends the checksum to a message.
func Seal(subject string, data []byte) []byte {
	return binary.BigEndian.AppendUint32(data[:len(data):len(data)], checksum(subject, data))
}

// DecodeCommit returns the records of a message.
func DecodeCommit(data []byte, subject, key string, sequence uint64) ([]keyspace.Record, error) {
	_, records, err := decodeCommit(data, subject, key, sequence, 0)
	return records, err
}

// SetHealthy makes the store believe that it has been healthy for long, so that it declares
// silent nodes dead.
func (s *Store) SetHealthy() {
	s.heart.mu.Lock()
	defer s.heart.mu.Unlock()
	s.heart.healthyAt = time.Time{}
}

// SetDeleteAge sets how long the stream remembers a delete, longer than its margin.
func (s *Store) SetDeleteAge(age time.Duration) { s.deleteAge = age }

// DeleteMargin is how much earlier a delete counts as forgotten.
const DeleteMargin = deleteMargin

// Unsettled returns the number of dead nodes whose wills may not be carried out.
func (s *Store) Unsettled() int { return len(s.nodes.dead()) + len(s.nodes.silent(deadAfter)) }
