package bench

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
)

// A value is a JSON string of three parts: the time at which its write was due, in
// nanoseconds since the run's epoch; the sequence number of the write among those of
// its key, from 1; and full stops up to the value's size. Both numbers are
// hexadecimal and have a fixed width, so that reading a value needs no JSON parser:
// this process takes its share of the machine that it measures.
const (
	dueDigits      = 12 // enough for 78 hours
	sequenceDigits = 10
	numberDigits   = dueDigits + sequenceDigits
	minSize        = numberDigits + 2 // with the quotes
)

// A codec writes the values of a run and reads its updates. It does not change, so
// any goroutine may use it.
type codec struct {
	head    []byte // start of an update, up to the number of the key
	middle  []byte // between the number of the key and the value's numbers
	padding []byte // the full stops of a value
	tail    []byte // from the padding to the version
}

// newCodec returns the codec for values of size bytes.
func newCodec(p plan, size int) codec {
	padding := bytes.Repeat([]byte{'.'}, size-minSize)
	return codec{
		head:    []byte(`{"key":"` + p.prefix),
		middle:  []byte(`","value":"`),
		padding: padding,
		tail:    append(bytes.Clone(padding), `","version":`...),
	}
}

// maxUpdateBytes returns the size of the longest update on the wire, with its
// WebSocket frame.
func (c codec) maxUpdateBytes(keys int) int {
	const versionDigits, atDigits, brace, frameHeader = 16, 13, 1, 4
	return len(c.head) + len(strconv.Itoa(keys)) + len(c.middle) + numberDigits + len(c.tail) + versionDigits +
		len(updateAt) + atDigits + brace + frameHeader
}

// appendValue appends a value to b.
func (c codec) appendValue(b []byte, due int64, sequence uint64) []byte {
	b = append(b, '"')
	b = appendHex(b, uint64(due), dueDigits)
	b = appendHex(b, sequence, sequenceDigits)
	b = append(b, c.padding...)
	return append(b, '"')
}

// parseSequence returns the sequence number of a value that a reply contains. ok is
// false if the value is not one of this run.
func (c codec) parseSequence(value string) (sequence uint64, ok bool) {
	if len(value) != numberDigits+len(c.padding) {
		return 0, false
	}
	return parseHex([]byte(value[dueDigits:numberDigits]))
}

// An update is the message that a subscriber receives after a write of a key.
type update struct {
	key      int
	due      int64 // when the write was due, in nanoseconds since the run's epoch
	sequence uint64
	version  uint64
}

// parseUpdate reads an update of a key of this run. ok is false if any byte of the
// message differs from the form that the server's contract specifies.
func (c codec) parseUpdate(message []byte) (u update, ok bool) {
	rest, ok := bytes.CutPrefix(message, c.head)
	if !ok {
		return u, false
	}
	key, rest, ok := parseDecimal(rest)
	if !ok || key > math.MaxInt32 {
		return u, false
	}
	if rest, ok = bytes.CutPrefix(rest, c.middle); !ok || len(rest) < numberDigits {
		return u, false
	}
	due, ok := parseHex(rest[:dueDigits])
	if !ok {
		return u, false
	}
	if u.sequence, ok = parseHex(rest[dueDigits:numberDigits]); !ok {
		return u, false
	}
	if rest, ok = bytes.CutPrefix(rest[numberDigits:], c.tail); !ok {
		return u, false
	}
	u.key, u.due = int(key), int64(due)
	if u.version, rest, ok = parseDecimal(rest); !ok {
		return u, false
	}
	if at, found := bytes.CutPrefix(rest, updateAt); found { // older servers do not send it
		_, rest, ok = parseDecimal(at)
	}
	return u, ok && len(rest) == 1 && rest[0] == '}'
}

// updateAt is the text before the time of the write.
var updateAt = []byte(`,"at":`)

const hexDigits = "0123456789abcdef"

// appendHex appends the lowest width hexadecimal digits of n.
func appendHex(b []byte, n uint64, width int) []byte {
	for shift := 4 * (width - 1); shift >= 0; shift -= 4 {
		b = append(b, hexDigits[n>>shift&15])
	}
	return b
}

// parseHex reads lower-case hexadecimal digits.
func parseHex(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

// parseDecimal reads up to 19 decimal digits, a number that fits into 64 bits, and
// returns the rest of b.
func parseDecimal(b []byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for ; i < len(b) && i < 19 && '0' <= b[i] && b[i] <= '9'; i++ {
		n = 10*n + uint64(b[i]-'0')
	}
	return n, b[i:], i > 0
}

// A reply is any message of the server that is not an update of this run.
type reply struct {
	ID      *uint64         `json:"id"`
	OK      bool            `json:"ok"`
	Action  string          `json:"action"`
	Key     string          `json:"key"`
	Value   json.RawMessage `json:"value"`
	Version uint64          `json:"version"`
	Error   *replyError     `json:"error"`
}

// A replyError is the error of a reply.
type replyError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (e replyError) Error() string {
	return e.Code + ": " + e.Message
}
