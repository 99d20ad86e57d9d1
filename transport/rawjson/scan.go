package rawjson

import (
	"fmt"
	"unicode/utf8"
)

// A SyntaxError describes a fault in a text.
type SyntaxError struct {
	Offset int    // bytes from the start of the text
	What   string // the fault
	Member string // the member of the outermost object whose value has the fault; "" if the fault is elsewhere
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.What, e.Offset) }

// A scanner reads one JSON text (RFC 8259) from front to back.
type scanner struct {
	data []byte
	pos  int
}

func (s *scanner) fail(what string) error { return &SyntaxError{Offset: s.pos, What: what} }

// unexpected returns the error of a byte that stands in the place of want.
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

// end reads white space to the end of the text.
func (s *scanner) end() error {
	s.space()
	if s.pos < len(s.data) {
		return s.unexpected("the end")
	}
	return nil
}

// object reads the object that begins here. It calls member with each name, in its
// quotes, after the colon; member must read the value.
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

// array reads the array that begins here. It calls element for each element, which
// must read it.
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

// name reads a member's name and the colon after it.
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

// value reads the value that begins here. It is not recursive, so that deep nesting
// costs no more than its bytes.
func (s *scanner) value() (v Value, err error) {
	start := s.pos
	var few [16]byte   // values that are not nested deeper need no allocation
	closers := few[:0] // of the open arrays and objects
	for {
		switch c := s.peek(); c {
		case '{', '[':
			closers = append(closers, c+2) // '{'+2 is '}', '['+2 is ']'
			v.Depth = max(v.Depth, len(closers))
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
		// After a value: the end of the open array or object, or its next value.
		for {
			if len(closers) == 0 {
				v.Text = s.data[start:s.pos]
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
func (s *scanner) nameIn(v *Value) error {
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
