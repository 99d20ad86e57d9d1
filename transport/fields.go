package transport

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"rtdb/keyspace"
	"rtdb/transport/rawjson"
)

const (
	// maxDepth is how deep arrays and objects in a value may be nested.
	maxDepth = 64

	// maxTTL is the longest time to live. A longer one is as good as forever, and
	// a time.Duration ends after 292 years.
	maxTTL = 100 * 365 * 24 * time.Hour
)

// A field is the value of one member of a request. null counts as absent, except in the
// member value.
type field[T any] struct {
	value   T
	present bool  // value is set
	err     error // why the member has no valid value
}

// given reports whether the request has the member, valid or not.
func (f *field[T]) given() bool { return f.present || f.err != nil }

func valid[T any](value T) field[T] { return field[T]{value: value, present: true} }

func invalid[T any](code, format string, args ...any) field[T] {
	return field[T]{err: refuse(code, format, args...)}
}

// decodeID decodes an id, which it appends to room.
func decodeID(v rawjson.Value, room []byte) field[[]byte] {
	switch v.Kind() {
	case rawjson.Null:
		return field[[]byte]{}
	case rawjson.String, rawjson.Number:
		return valid(append(room, v.Text...)) // it has no white space
	}
	return invalid[[]byte](codeInvalidRequest, "the id is neither a string nor a number")
}

func decodeString(what string, v rawjson.Value) field[string] {
	switch v.Kind() {
	case rawjson.Null:
		return field[string]{}
	case rawjson.String:
		return valid(v.Decode())
	}
	return invalid[string](codeInvalidRequest, "the %s is not a string", what)
}

// maxClientBytes is how long the name of a client may be.
const maxClientBytes = 128

// decodeClient decodes the name by which a client calls itself.
func decodeClient(v rawjson.Value) field[string] {
	f := decodeName("client", v)
	if n := len(f.value); f.present && (n == 0 || n > maxClientBytes) {
		return invalid[string](codeInvalidRequest, "the client is %d bytes long: 1 to %d are allowed", n, maxClientBytes)
	}
	return f
}

// decodeName decodes the name of a key or topic, or a pattern. It does not check
// them, except for lone surrogates, which decoding would lose.
func decodeName(what string, v rawjson.Value) field[string] {
	if v.Kind() == rawjson.String && v.HasLoneSurrogate() {
		return invalid[string](codeInvalidName, "the %s has half of a surrogate pair", what)
	}
	return decodeString(what, v)
}

// decodeNames decodes an array of names, and checks them.
func decodeNames(what string, v rawjson.Value) field[[]string] {
	switch v.Kind() {
	case rawjson.Null:
		return field[[]string]{}
	case rawjson.Array:
	default:
		return invalid[[]string](codeInvalidRequest, "%s is not an array of strings", what)
	}
	var names []string
	err := v.Elements(func(element rawjson.Value) error {
		if element.Kind() != rawjson.String {
			return refuse(codeInvalidRequest, "%s: %s is not a string", what, quoted(string(element.Text)))
		}
		name := element.Decode()
		if element.HasLoneSurrogate() {
			return refuse(codeInvalidName, "%s: %s has half of a surrogate pair", what, quoted(name))
		}
		if err := keyspace.CheckName(name); err != nil {
			return refuse(codeInvalidName, "%s: %s is not a valid name: %s", what, quoted(name), reasonOf(err))
		}
		names = append(names, name)
		return nil
	})
	switch {
	case err != nil:
		return field[[]string]{err: err}
	case len(names) == 0:
		return invalid[[]string](codeInvalidRequest, "%s is empty", what)
	}
	return valid(names)
}

func decodeBool(what string, v rawjson.Value) field[bool] {
	switch v.Kind() {
	case rawjson.Null:
		return field[bool]{}
	case rawjson.Bool:
		return valid(v.IsTrue())
	}
	return invalid[bool](codeInvalidRequest, "%s is neither true nor false", what)
}

// decodeVersion decodes an integer of 0 or more. It may be written in any form,
// because some clients know only floating-point numbers.
func decodeVersion(what string, v rawjson.Value) field[uint64] {
	switch v.Kind() {
	case rawjson.Null:
		return field[uint64]{}
	case rawjson.Number:
		if n, ok := parseInteger(string(v.Text)); ok {
			return valid(n)
		}
	}
	return invalid[uint64](codeInvalidRequest, "%s is not an integer of 0 or more", what)
}

// parseInteger returns the value of a JSON number that is an integer of 0 or more. A
// number above the maximum returns math.MaxUint64.
func parseInteger(text string) (uint64, bool) {
	if n, ok := parseDigits(text); ok {
		return n, true
	}
	// It has a sign, a point or an exponent. A float64 has 15 digits; an integer
	// with more that is written like this is a mistake.
	x, err := strconv.ParseFloat(text, 64)
	mantissa, _, _ := strings.Cut(strings.ToLower(text), "e")
	zero := strings.Trim(mantissa, "0.") == ""
	switch {
	case math.Signbit(x), x != math.Trunc(x), (x == 0) != zero, len(mantissa) > 18:
		return 0, false
	case err != nil || x >= math.MaxUint64:
		return math.MaxUint64, true
	}
	return uint64(x), true
}

// parseDigits returns the value of a text of digits. A number above the maximum returns
// math.MaxUint64.
func parseDigits(text string) (uint64, bool) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, _ := strconv.ParseUint(text, 10, 64) // the only error left is that n is too large; then it is the largest
	return n, true
}

// decodeTTL decodes a number of seconds above 0.
func decodeTTL(v rawjson.Value) field[time.Duration] {
	if v.Kind() == rawjson.Null {
		return field[time.Duration]{}
	}
	x, tiny := math.NaN(), false
	if v.Kind() == rawjson.Number {
		text := string(v.Text)
		x, _ = strconv.ParseFloat(text, 64) // a number out of range is infinite, or 0
		mantissa, _, _ := strings.Cut(strings.ToLower(text), "e")
		tiny = x == 0 && !math.Signbit(x) && strings.Trim(mantissa, "0.") != ""
	}
	switch {
	case !(x > 0) && !tiny:
		return invalid[time.Duration](codeInvalidRequest, "ttl is not a number of seconds above 0")
	case x >= maxTTL.Seconds():
		return valid(maxTTL)
	}
	return valid(max(time.Duration(x*float64(time.Second)), 1))
}

// decodeValue decodes a value as it is kept.
func decodeValue(v rawjson.Value, maxBytes int) field[[]byte] {
	if v.Depth > maxDepth {
		return invalid[[]byte](codeInvalidValue, "the value is nested %d deep, at most %d are allowed", v.Depth, maxDepth)
	}
	value := v.Compact()
	if err := checkLength(value, maxBytes); err != nil {
		return field[[]byte]{err: err}
	}
	return valid(value)
}

// checkLength returns the error of a value that is too long.
func checkLength(value []byte, maxBytes int) error {
	if len(value) > maxBytes {
		return refuse(codeTooLarge, "the value is %d bytes long, at most %d are allowed", len(value), maxBytes)
	}
	return nil
}

// mergePatch returns a Merge for a [keyspace.Change]. A patch does not nest a value
// deeper than the value and the patch were.
func mergePatch(patch []byte, maxBytes int) func(old []byte) ([]byte, error) {
	parsed := rawjson.ParseMergePatch(patch)
	return func(old []byte) ([]byte, error) {
		value := parsed.Apply(old)
		return value, checkLength(value, maxBytes)
	}
}

// quoted quotes a client's text for an error message, and cuts it to 64 bytes.
func quoted(s string) string {
	const limit = 64
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > limit {
		cut := limit
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		return fmt.Sprintf("%q…", s[:cut])
	}
	return fmt.Sprintf("%q", s)
}
