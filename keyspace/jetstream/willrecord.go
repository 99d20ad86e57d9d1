package jetstream

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"rtdb/keyspace"
)

// A willRecord is the message that keeps the wills of a session. Its subject has the instance
// of the node and the name of the session.
//
// The wills are carried out in one atomic batch: the writes, and a message that empties the
// record. All have the last sequence of their subjects as their conditions. So of the
// session's own node and the survivors, exactly one carries them out.
type willRecord struct {
	Wills []keptWill `json:"wills"` // none: the record is empty

	// Client and Subject are the owner of the wills. A record without an owner, or of an older
	// version of rtdb, has no Client.
	Client  string `json:"client,omitempty"`
	Subject string `json:"subject,omitempty"`

	// By is the process that has emptied the record, so that the process knows its own message
	// if the answer was lost.
	By string `json:"by,omitempty"`
}

// A keptWill is a [keyspace.Will] as the stream keeps it. The values follow the JSON, so that
// they take no more space than in the message of a write.
type keptWill struct {
	Key       string  `json:"key,omitempty"`
	Topic     string  `json:"topic,omitempty"`
	Length    *int    `json:"length,omitempty"` // of the value; nil: the key is deleted
	Value     []byte  `json:"-"`
	IfVersion *uint64 `json:"if_version,omitempty"`
	TTL       int64   `json:"ttl_ms,omitempty"`
}

// encode returns the data of the record's message: JSON in one line, and then the values.
func (r *willRecord) encode() ([]byte, error) {
	size := 0
	for i := range r.Wills {
		if w := &r.Wills[i]; w.Value != nil {
			n := len(w.Value)
			w.Length, size = &n, size+n
		}
	}
	data, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	data = append(slices.Grow(data, size+1), '\n')
	for i := range r.Wills {
		data = append(data, r.Wills[i].Value...)
	}
	return data, nil
}

// decodeRecord reads the message of a record. ok is false if it is another message.
func decodeRecord(data []byte) (r willRecord, ok bool) {
	line, values, _ := bytes.Cut(data, []byte{'\n'})
	if json.Unmarshal(line, &r) != nil {
		return r, false
	}
	for i := range r.Wills {
		w := &r.Wills[i]
		if w.Length == nil {
			continue
		}
		n := *w.Length
		if n < 0 || n > len(values) {
			return r, false
		}
		w.Value, values = values[:n:n], values[n:]
	}
	return r, true
}

func newKeptWill(w keyspace.Will) keptWill {
	k := keptWill{Value: w.Value, IfVersion: w.IfVersion, TTL: w.TTL.Milliseconds()}
	if w.Target.OfTopics() {
		k.Topic = w.Target.Name
	} else {
		k.Key = w.Target.Name
	}
	return k
}

// emptyAge is how long the stream remembers a record that is empty. It is as long as a node
// may take to notice that it was declared dead.
const emptyAge = time.Hour

// wills are the records of this node's sessions.
type wills struct {
	mu      sync.Mutex
	records map[string]ownRecord // by the session's name
}

// An ownRecord names the record of a session, and its sequence.
type ownRecord struct {
	subject  string
	sequence uint64 // of its last message, as far as is known
	isOfDead bool   // it is that of a session of a dead node
}

func (w *wills) find(session string) (ownRecord, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, ok := w.records[session]
	return r, ok
}

func (w *wills) put(session string, r ownRecord) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.records == nil {
		w.records = map[string]ownRecord{}
	}
	w.records[session] = r
}

func (w *wills) remove(session string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.records, session)
}

// recordMessage returns the message that replaces a record.
func recordMessage(r ownRecord, record willRecord) (*nats.Msg, error) {
	data, err := record.encode()
	if err != nil {
		return nil, err
	}
	m := &nats.Msg{Subject: r.subject, Data: data, Header: nats.Header{
		headerExpected: {strconv.FormatUint(r.sequence, 10)},
	}}
	if len(record.Wills) == 0 {
		m.Header[headerTTL] = []string{emptyAge.String()}
	}
	return m, nil
}
