package rawjson

import (
	"slices"
	"strconv"
)

// firstSize is the capacity that a Builder begins with: most replies fit in. Without it, a
// reply would grow four times.
const firstSize = 64

// A Builder is a JSON object under construction. Its methods append one member and
// return the longer object. Names and texts must be valid UTF-8.
type Builder []byte

func (b Builder) name(name string) Builder {
	if len(b) == 0 {
		b = append(slices.Grow(b, firstSize), '{')
	} else {
		b = append(b, ',')
	}
	return append(AppendString(b, name), ':')
}

// String appends a string.
func (b Builder) String(name, value string) Builder { return AppendString(b.name(name), value) }

// Raw appends a value that is JSON.
func (b Builder) Raw(name string, value []byte) Builder { return append(b.name(name), value...) }

// Uint appends a number.
func (b Builder) Uint(name string, value uint64) Builder {
	return strconv.AppendUint(b.name(name), value, 10)
}

// True appends true.
func (b Builder) True(name string) Builder { return append(b.name(name), "true"...) }

// Strings appends an array of strings.
func (b Builder) Strings(name string, values []string) Builder {
	b = append(b.name(name), '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendString(b, v)
	}
	return append(b, ']')
}

// End returns the whole object.
func (b Builder) End() []byte {
	if len(b) == 0 {
		return []byte("{}")
	}
	return append(b, '}')
}

// AppendString appends s, which must be valid UTF-8, to dst as a JSON string (RFC
// 8259, section 7). It escapes only what must be escaped.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	plain := 0 // the offset of the part that is not appended yet
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[plain:i]...)
		plain = i + 1
		if c < 0x20 {
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		} else {
			dst = append(dst, '\\', c)
		}
	}
	return append(append(dst, s[plain:]...), '"')
}
