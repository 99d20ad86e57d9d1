package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A LineError is the error of one line of an import.
type LineError struct {
	Line int64  // counted from 1
	Key  string // empty if the line has none
	Err  error  // a *ServerError if the server has refused the key
}

func (e *LineError) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("line %d: %v", e.Line, e.Err)
	}
	return fmt.Sprintf("line %d: key %q: %v", e.Line, e.Key, e.Err)
}

// Unwrap returns Err.
func (e *LineError) Unwrap() error { return e.Err }

// A line is a line of an import, encoded as an item of a batch.
type line struct {
	number int64
	key    string
	item   []byte
}

// parseLine reads a line, and returns its key and its item. key may be set even if there
// is an error. The item has the key and the value letter for letter.
func parseLine(text []byte, ifAbsent bool) (key string, item []byte, err error) {
	if !utf8.Valid(text) {
		return "", nil, fmt.Errorf("it is not valid UTF-8 at byte %d: convert the file to UTF-8", invalidByte(text)+1)
	}
	// A struct would also take names in upper case.
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return "", nil, syntaxError(text, err)
	}
	if members == nil {
		return "", nil, errors.New("expected a JSON object but got null")
	}
	rawKey, value, expires := members["key"], members["value"], members["expires_in"]
	if rawKey == nil || json.Unmarshal(rawKey, &key) != nil || rawKey[0] != '"' {
		return "", nil, errors.New(`there is no "key" that is a string`)
	}
	for name := range members {
		switch name {
		case "key", "value", "expires_in":
		default:
			return key, nil, fmt.Errorf("unknown member %q: a line has key, value and, if the key expires, expires_in", name)
		}
	}
	if value == nil {
		return key, nil, errors.New(`there is no "value"`)
	}
	item = append(append([]byte(`{"key":`), rawKey...), `,"value":`...)
	item = append(item, value...)
	if expires != nil && string(expires) != "null" {
		if !isPositive(expires) {
			return key, nil, fmt.Errorf("expected an expires_in above 0, in seconds, but got %s", shortened(expires))
		}
		item = append(append(item, `,"ttl":`...), expires...)
	}
	if ifAbsent {
		item = append(item, `,"ifVersion":0`...)
	}
	return key, append(item, '}'), nil
}

// isPositive reports whether a JSON value is a number above 0. A number that is too large
// for a float64 is infinite.
func isPositive(value []byte) bool {
	f, err := strconv.ParseFloat(string(value), 64)
	return (err == nil || math.IsInf(f, 1)) && f > 0
}

// shortened returns a value for an error message.
func shortened(value []byte) string {
	const most = 40
	if len(value) > most {
		return string(bytes.ToValidUTF8(value[:most], nil)) + "…"
	}
	return string(value)
}

// invalidByte returns the index of the first byte that is not UTF-8.
func invalidByte(text []byte) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size <= 1 {
			return i
		}
		i += size
	}
	return len(text)
}

// syntaxError returns the error of a line that is not a JSON object.
func syntaxError(text []byte, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax) && syntax.Offset >= int64(len(text)) && strings.HasPrefix(syntax.Error(), "unexpected end"):
		return fmt.Errorf("it is not valid JSON: it ends too early: %s", shortened(text))
	case errors.As(err, &syntax):
		return fmt.Errorf("it is not valid JSON at byte %d: %w", syntax.Offset, err)
	case errors.As(err, &kind):
		return fmt.Errorf("expected a JSON object but got a JSON %s", kind.Value)
	}
	return fmt.Errorf("it is not valid JSON: %w", err)
}
