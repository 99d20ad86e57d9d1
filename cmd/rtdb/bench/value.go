package bench

import (
	"bytes"
	"math"
	"strconv"
)

// A value is a JSON string: when the write was due, in nanoseconds since the
// start, which write of its key it is, and stops up to the size. The numbers are
// hexadecimal and of fixed width, so that both ends need no JSON parser: this
// process takes its share of the machine that it measures.
const (
	dueDigits    = 12 // 78 hours
	numberDigits = 10
	smallestSize = dueDigits + numberDigits + 2 // the quotes
)

const digits = "0123456789abcdef"

func appendHex(b []byte, n uint64, width int) []byte {
	for shift := 4 * (width - 1); shift >= 0; shift -= 4 {
		b = append(b, digits[n>>shift&15])
	}
	return b
}

// An update is one that came.
type update struct {
	key     int
	due     int64
	number  uint64
	version uint64
}

// A form is how the messages of a run look.
type form struct {
	head    []byte // of an update, before the key's number
	padding []byte // of a value
	middle  []byte // of an update, between its key and its value
	tail    []byte // of an update, before the version, the padding included
}

func newForm(p plan, size int) form {
	padding := bytes.Repeat([]byte{'.'}, size-smallestSize)
	return form{
		head:    []byte(`{"key":"` + p.prefix),
		padding: padding,
		middle:  []byte(`","value":"`),
		tail:    append(bytes.Clone(padding), `","version":`...),
	}
}

// length is that of the longest update, as it is sent.
func (f form) length(keys int) int {
	const versionDigits, brace, frame = 16, 1, 4
	return len(f.head) + len(strconv.Itoa(keys)) + len(f.middle) + dueDigits + numberDigits + len(f.tail) + versionDigits + brace + frame
}

func (f form) appendValue(b []byte, due int64, number uint64) []byte {
	b = append(b, '"')
	b = appendHex(b, uint64(due), dueDigits)
	b = appendHex(b, number, numberDigits)
	b = append(b, f.padding...)
	return append(b, '"')
}

// update reads a message that is an update of a key of this run, letter for
// letter as the contract has it. Anything else is not ok.
func (f form) update(message []byte) (u update, ok bool) {
	rest, ok := bytes.CutPrefix(message, f.head)
	if !ok {
		return u, false
	}
	key, rest, ok := decimal(rest)
	if !ok || key > math.MaxInt32 {
		return u, false
	}
	if rest, ok = bytes.CutPrefix(rest, f.middle); !ok || len(rest) < dueDigits+numberDigits {
		return u, false
	}
	due, ok := hexadecimal(rest[:dueDigits])
	if !ok {
		return u, false
	}
	if u.number, ok = hexadecimal(rest[dueDigits : dueDigits+numberDigits]); !ok {
		return u, false
	}
	if rest, ok = bytes.CutPrefix(rest[dueDigits+numberDigits:], f.tail); !ok {
		return u, false
	}
	u.key, u.due = int(key), int64(due)
	u.version, rest, ok = decimal(rest)
	return u, ok && len(rest) == 1 && rest[0] == '}'
}

// number reads which write a value is, as it stands in a reply.
func (f form) number(value string) (uint64, bool) {
	if len(value) != dueDigits+numberDigits+len(f.padding) {
		return 0, false
	}
	return hexadecimal([]byte(value[dueDigits : dueDigits+numberDigits]))
}

func decimal(b []byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for ; i < len(b) && i < 19 && '0' <= b[i] && b[i] <= '9'; i++ {
		n = 10*n + uint64(b[i]-'0')
	}
	return n, b[i:], i > 0
}

func hexadecimal(b []byte) (n uint64, ok bool) {
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
