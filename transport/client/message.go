package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// A message is a message of the server: a reply if it has an ID, else an update or a
// notice.
type message struct {
	ID       json.RawMessage `json:"id"`
	Error    *Error          `json:"error"`
	Action   string          `json:"action"`
	Key      string          `json:"key"`
	Topic    string          `json:"topic"`
	Pattern  string          `json:"topicPattern"` // of topics of which messages were missed
	Value    json.RawMessage `json:"value"`
	Version  uint64          `json:"version"`
	At       int64           `json:"at"`         // Unix milliseconds
	Seconds  float64         `json:"expires_in"` // of a key, or of a token
	Deleted  bool            `json:"deleted"`
	Missed   json.RawMessage `json:"missed"` // a number, or true if the number is not known
	Revision uint64          `json:"revision"`
	Epoch    string          `json:"epoch"`
	Reset    bool            `json:"reset"`
	Ended    []string        `json:"ended"`
}

func parseMessage(data []byte) (*message, error) {
	m := new(message)
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("%w: it sent %.200q: %v", ErrNotRTDB, data, err)
	}
	return m, nil
}

// missed returns how many messages of a topic were lost, -1 if that is not known, and 0 if
// the message says nothing about it.
func (m *message) missed() int {
	if m.Missed == nil {
		return 0
	}
	if n, err := strconv.Atoi(string(m.Missed)); err == nil && n > 0 {
		return n
	}
	return -1
}

// timeOf returns the time of Unix milliseconds, and the zero time for 0.
func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// encodeValue returns the JSON text of a value. A json.RawMessage is taken as it is.
func encodeValue(value any) ([]byte, error) {
	raw, ok := value.(json.RawMessage)
	if ok {
		if !json.Valid(raw) {
			return nil, fmt.Errorf("rtdb: the json.RawMessage is not valid JSON: %.200q", []byte(raw))
		}
		return raw, nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // a nested json.RawMessage stays as it is
	if err := e.Encode(value); err != nil {
		return nil, fmt.Errorf("rtdb: the value of type %T cannot be written as JSON: %w", value, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// decodeValue parses the value of a key or topic. If T is json.RawMessage the text is
// copied.
func decodeValue[T any](name string, text json.RawMessage) (value T, err error) {
	if raw, ok := any(&value).(*json.RawMessage); ok {
		*raw = bytes.Clone(text)
		return value, nil
	}
	if err := json.Unmarshal(text, &value); err != nil {
		var none T
		return none, &ValueError{Name: name, Value: string(text[:min(len(text), 200)]), Err: err}
	}
	return value, nil
}

// fields are the members of a request, without its id.
type fields []byte

func newFields(action string) fields { return fields(`"action":"` + action + `"`) }

func (f fields) text(name, value string) fields {
	text, _ := encodeValue(value) // a string cannot fail
	if !utf8.ValidString(value) {
		// Half of a surrogate pair in place of U+FFFD, which is a character of another name:
		// the server refuses it.
		text = bytes.ReplaceAll(text, []byte(`\ufffd`), []byte(`\udfff`))
	}
	return f.raw(name, text)
}

func (f fields) number(name string, n uint64) fields {
	return f.raw(name, strconv.AppendUint(nil, n, 10))
}

func (f fields) seconds(name string, d time.Duration) fields {
	return f.raw(name, strconv.AppendFloat(nil, d.Seconds(), 'f', -1, 64))
}

func (f fields) raw(name string, text []byte) fields {
	f = append(f, `,"`...)
	f = append(f, name...)
	f = append(f, `":`...)
	return append(f, text...)
}
