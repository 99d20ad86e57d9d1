package rawjson

import (
	"bytes"
	"encoding/json"
)

// A Kind is the kind of a JSON value.
type Kind uint8

const (
	Null Kind = iota
	Bool
	Number
	String
	Array
	Object
)

// A Value is a JSON value as it stands in a text that was read.
type Value struct {
	Text   []byte // part of the text
	Depth  int    // how deep arrays and objects are nested: 1 for []
	spaced bool   // there is white space between tokens
}

// Parse reads a text that is one value, with white space around it or not. Its error
// is a *SyntaxError.
func Parse(text []byte) (Value, error) {
	s := scanner{data: text}
	s.space()
	v, err := s.value()
	if err != nil {
		return v, err
	}
	return v, s.end()
}

// ParseObject reads a text that is one object, with white space around it or not,
// and calls member with the decoded name and the value of each member, in order. The name
// is valid until member returns, because a copy of each name would take a quarter of the
// allocations of a write. ParseObject stops at the first error and returns it. Its own error
// is a *SyntaxError, which has the name of the member if the fault is in a member's value.
func ParseObject(text []byte, member func(name []byte, v Value) error) error {
	s := scanner{data: text}
	s.space()
	err := s.object(func(raw []byte) error {
		v, err := s.value()
		if err != nil {
			err.(*SyntaxError).Member = decode(raw)
			return err
		}
		return member(decodeBytes(raw), v)
	})
	if err != nil {
		return err
	}
	return s.end()
}

// Kind returns the kind of the value.
func (v Value) Kind() Kind {
	switch v.Text[0] {
	case 'n':
		return Null
	case 't', 'f':
		return Bool
	case '"':
		return String
	case '[':
		return Array
	case '{':
		return Object
	}
	return Number
}

// IsTrue reports whether the value is true.
func (v Value) IsTrue() bool { return v.Text[0] == 't' }

// Compact returns a copy of the value without white space between tokens. Nothing
// else is changed.
func (v Value) Compact() []byte {
	if !v.spaced {
		return bytes.Clone(v.Text)
	}
	out := make([]byte, 0, len(v.Text))
	inString := false
	for i := 0; i < len(v.Text); i++ {
		switch c := v.Text[i]; {
		case c == '\\': // only strings have it; the escaped byte may be a quote
			out = append(out, c, v.Text[i+1])
			i++
		case c == '"':
			inString = !inString
			out = append(out, c)
		case inString || c > ' ':
			out = append(out, c)
		}
	}
	return bytes.Clone(out) // without the capacity of the white space, because values are kept
}

// Elements calls yield for each element of an array, in order. It stops at the first
// error and returns it.
func (v Value) Elements(yield func(Value) error) error {
	s := scanner{data: v.Text}
	return s.array(func() error {
		element, err := s.value()
		if err != nil {
			return err
		}
		return yield(element)
	})
}

// Decode returns the text that a string stands for. Surrogates that are not in pairs
// become U+FFFD.
func (v Value) Decode() string { return decode(v.Text) }

// decode is Decode for a string in its quotes.
func decode(quoted []byte) string { return string(decodeBytes(quoted)) }

// decodeBytes is decode without a copy, if the string has no escapes.
func decodeBytes(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		panic("rawjson: a string that was read does not decode: " + err.Error())
	}
	return []byte(s)
}

// HasLoneSurrogate reports whether a string has an escape of a surrogate that is not
// half of a pair. Such a string stands for no text (RFC 8259, section 8.2).
func (v Value) HasLoneSurrogate() bool { return hasLoneSurrogate(v.Text) }

func hasLoneSurrogate(quoted []byte) bool {
	high := false
	for i := 0; i < len(quoted); i++ {
		var unit uint16
		if quoted[i] == '\\' {
			i++
			if quoted[i] == 'u' {
				for _, c := range quoted[i+1 : i+5] {
					unit = unit<<4 | uint16(hexDigit(c))
				}
				i += 4
			}
		}
		isLow := unit >= 0xdc00 && unit <= 0xdfff
		if high != isLow {
			return true
		}
		high = unit >= 0xd800 && unit <= 0xdbff
	}
	return high
}

func hexDigit(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
