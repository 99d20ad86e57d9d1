package transport

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// A scanner reads one JSON text (RFC 8259) from front to back, and keeps
// values as they were sent. encoding/json would do for the grammar, but not
// for the rest: it takes invalid UTF-8 and lone surrogates for U+FFFD, matches
// names in any case, and cannot say whether what is wrong is in the value.
type scanner struct {
	data []byte
	pos  int
}

// A syntaxError says what is wrong with a JSON text, and where.
type syntaxError struct {
	offset int // bytes from the start of the text
	what   string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.what, e.offset) }

func (s *scanner) fail(what string) error { return &syntaxError{s.pos, what} }

// unexpected says what stands in the place of what the grammar wants.
func (s *scanner) unexpected(want string) error {
	if s.pos >= len(s.data) {
		return s.fail("the text ends where " + want + " should be")
	}
	r, size := utf8.DecodeRune(s.data[s.pos:])
	if r == utf8.RuneError && size == 1 {
		return s.fail("invalid UTF-8")
	}
	return s.fail(fmt.Sprintf("%q where %s should be", r, want))
}

// peek returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

// space reads white space, and reports whether there was any.
func (s *scanner) space() bool {
	start := s.pos
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return s.pos > start
		}
	}
	return s.pos > start
}

// document reads a text that is one object and nothing else. member is called
// after each name and its colon, and must read the value.
func (s *scanner) document(member func(name string) error) error {
	s.space()
	err := s.object(func(raw []byte) error { return member(decodeString(raw)) })
	if err != nil {
		return err
	}
	s.space()
	if s.pos < len(s.data) {
		return s.unexpected("the end")
	}
	return nil
}

// object reads the object that begins here. member is called with each name,
// in its quotes, when its colon was read, and must read the value.
func (s *scanner) object(member func(raw []byte) error) error {
	if s.peek() != '{' {
		return s.unexpected("'{'")
	}
	s.pos++
	s.space()
	for first := true; s.peek() != '}'; first = false {
		if !first {
			if s.peek() != ',' {
				return s.unexpected("',' or '}'")
			}
			s.pos++
			s.space()
		}
		raw, err := s.name()
		if err != nil {
			return err
		}
		if err := member(raw); err != nil {
			return err
		}
		s.space()
	}
	s.pos++
	return nil
}

// array reads the array that begins here. element must read each value.
func (s *scanner) array(element func() error) error {
	if s.peek() != '[' {
		return s.unexpected("'['")
	}
	s.pos++
	s.space()
	for first := true; s.peek() != ']'; first = false {
		if !first {
			if s.peek() != ',' {
				return s.unexpected("',' or ']'")
			}
			s.pos++
			s.space()
		}
		if err := element(); err != nil {
			return err
		}
		s.space()
	}
	s.pos++
	return nil
}

// name reads a member's name and the colon behind it.
func (s *scanner) name() (raw []byte, err error) {
	if s.peek() != '"' {
		return nil, s.unexpected("a name in quotes")
	}
	start := s.pos
	if err := s.str(); err != nil {
		return nil, err
	}
	raw = s.data[start:s.pos]
	s.space()
	if s.peek() != ':' {
		return nil, s.unexpected("':'")
	}
	s.pos++
	s.space()
	return raw, nil
}

// A raw value is a JSON value as it stands in the text.
type rawValue struct {
	text   []byte // part of the text
	depth  int    // how deep arrays and objects are nested: 1 for []
	spaced bool   // there is white space between tokens
}

// value reads the value that begins here. It needs no recursion, so that no
// depth of nesting costs more than its own bytes.
func (s *scanner) value() (rawValue, error) {
	v := rawValue{}
	start := s.pos
	var closers []byte // of the open arrays and objects
	for {
		switch c := s.peek(); c {
		case '{', '[':
			closers = append(closers, c+2) // '{'+2 is '}', '['+2 is ']'
			v.depth = max(v.depth, len(closers))
			s.pos++
			v.spaced = s.space() || v.spaced
			if s.peek() != c+2 {
				if c == '{' {
					if err := s.nameIn(&v); err != nil {
						return v, err
					}
				}
				continue
			}
		default:
			if err := s.scalar(); err != nil {
				return v, err
			}
		}
		// Behind a value: the end of what is open, or the next in it.
		for {
			if len(closers) == 0 {
				v.text = s.data[start:s.pos]
				return v, nil
			}
			v.spaced = s.space() || v.spaced
			top := closers[len(closers)-1]
			if s.peek() == top {
				s.pos++
				closers = closers[:len(closers)-1]
				continue
			}
			if s.peek() != ',' {
				return v, s.unexpected(fmt.Sprintf("',' or %q", top))
			}
			s.pos++
			v.spaced = s.space() || v.spaced
			if top == '}' {
				if err := s.nameIn(&v); err != nil {
					return v, err
				}
			}
			break
		}
	}
}

// nameIn reads a name within a value.
func (s *scanner) nameIn(v *rawValue) error {
	start := s.pos
	raw, err := s.name()
	if len(raw)+1 != s.pos-start { // more than the name and its colon
		v.spaced = true
	}
	return err
}

func (s *scanner) scalar() error {
	switch c := s.peek(); {
	case c == '"':
		return s.str()
	case c == '-' || '0' <= c && c <= '9':
		return s.number()
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	}
	return s.unexpected("a value")
}

func (s *scanner) literal(word string) error {
	for i := range len(word) {
		if s.peek() != word[i] {
			return s.unexpected("the rest of " + word)
		}
		s.pos++
	}
	return nil
}

func (s *scanner) number() error {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if err := s.digits(); err != nil {
		return err
	}
	if s.peek() == '.' {
		s.pos++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		return s.digits()
	}
	return nil
}

func (s *scanner) digits() error {
	if c := s.peek(); c < '0' || c > '9' {
		return s.unexpected("a digit")
	}
	for c := s.peek(); '0' <= c && c <= '9'; c = s.peek() {
		s.pos++
	}
	return nil
}

// str reads a string, its quotes included.
func (s *scanner) str() error {
	s.pos++
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return nil
		case c == '\\':
			if err := s.escape(); err != nil {
				return err
			}
		case c < 0x20:
			return s.fail("a control character in a string")
		case c < utf8.RuneSelf:
			s.pos++
		default:
			r, size := utf8.DecodeRune(s.data[s.pos:])
			if r == utf8.RuneError && size == 1 {
				return s.fail("invalid UTF-8")
			}
			s.pos += size
		}
	}
	return s.unexpected("the end of a string")
}

func (s *scanner) escape() error {
	s.pos++
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos++
		return nil
	case 'u':
		s.pos++
		for range 4 {
			switch c := s.peek(); {
			case '0' <= c && c <= '9', 'a' <= c && c <= 'f', 'A' <= c && c <= 'F':
				s.pos++
			default:
				return s.unexpected("a hexadecimal digit")
			}
		}
		return nil
	}
	return s.unexpected("an escape")
}

// compact returns a copy of the value without white space between tokens, and
// else as it was sent.
func (v rawValue) compact() []byte {
	if !v.spaced {
		return bytes.Clone(v.text)
	}
	out := make([]byte, 0, len(v.text))
	inString := false
	for i := 0; i < len(v.text); i++ {
		switch c := v.text[i]; {
		case c == '\\': // only strings have it; what it escapes may be a quote
			out = append(out, c, v.text[i+1])
			i++
		case c == '"':
			inString = !inString
			out = append(out, c)
		case inString || c > ' ':
			out = append(out, c)
		}
	}
	return bytes.Clone(out) // the value may be kept: not with room for the space
}

func (v rawValue) isNull() bool { return v.text[0] == 'n' }

func (v rawValue) isTrue() bool { return v.text[0] == 't' }

func (v rawValue) isFalse() bool { return v.text[0] == 'f' }

func (v rawValue) isArray() bool { return v.text[0] == '[' }

func (v rawValue) isObject() bool { return v.text[0] == '{' }

func (v rawValue) isString() bool { return v.text[0] == '"' }

func (v rawValue) isNumber() bool { return v.text[0] == '-' || v.text[0] <= '9' && v.text[0] >= '0' }

// decodeString returns what a string that was scanned stands for. Surrogates
// that are not in pairs become U+FFFD.
func decodeString(raw []byte) string {
	inner := raw[1 : len(raw)-1]
	for _, c := range inner {
		if c == '\\' {
			var s string
			if err := json.Unmarshal(raw, &s); err != nil {
				panic("transport: a scanned string does not parse: " + err.Error())
			}
			return s
		}
	}
	return string(inner)
}

// loneSurrogate reports whether a string that was scanned has an escape of a
// surrogate that is not half of a pair.
func loneSurrogate(raw []byte) bool {
	high := false
	for i := 0; i < len(raw); i++ {
		var unit uint16
		if raw[i] == '\\' {
			i++
			if raw[i] == 'u' {
				for _, c := range raw[i+1 : i+5] {
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
