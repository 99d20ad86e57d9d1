package jetstream

import (
	"errors"
	"strings"
)

// subjects are the subjects of a stream. Each begins with the stream's name.
type subjects struct {
	keys     string // before the subject of a key's name
	beats    string // before the name of an instance
	wills    string // before the name of an instance, and a session
	topics   string // before the subject of a topic's name; not in the stream
	fed      string // before the subject of a message of the stream that is published again
	services string // before the name of a service that nodes answer; not in the stream
}

func newSubjects(stream string) subjects {
	return subjects{
		keys: stream + ".k.", beats: stream + ".b.", wills: stream + ".w.",
		topics: stream + ".t.", fed: stream + ".r.", services: stream + ".s.",
	}
}

// stored returns the subjects of the messages that the stream keeps.
func (s subjects) stored() []string { return []string{s.keys + ">", s.beats + "*", s.wills + "*.*"} }

const hexDigits = "0123456789ABCDEF"

// isPlain reports whether a byte of a name stands for itself in a subject.
func isPlain(c byte) bool {
	return c == '-' || c == '_' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// encodeName returns the subject of a name: each level is a token. A byte that is not an
// ASCII letter, digit, - or _ is written as = and two hexadecimal digits. So a tool for NATS
// shows most names as they are, and selects them by level.
func encodeName(name string) string { return encodeSubject("", name) }

// encodeSubject returns prefix and the subject of a name.
func encodeSubject(prefix, name string) string {
	special := 0
	for i := range len(name) {
		if c := name[i]; !isPlain(c) && c != '/' {
			special++
		}
	}
	var b strings.Builder
	b.Grow(len(prefix) + len(name) + 2*special)
	b.WriteString(prefix)
	for i := range len(name) {
		switch c := name[i]; {
		case isPlain(c):
			b.WriteByte(c)
		case c == '/':
			b.WriteByte('.')
		default:
			b.Write([]byte{'=', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	return b.String()
}

var errNotEncoded = errors.New("not the subject of a name")

// decodeName is the reverse of encodeName. It refuses a subject that encodeName does not
// make. So a name has one subject. It does not check the name itself.
func decodeName(subject string) (string, error) {
	if !strings.ContainsAny(subject, "=./") {
		return subject, checkPlain(subject)
	}
	var b strings.Builder
	b.Grow(len(subject))
	for i := 0; i < len(subject); i++ {
		switch c := subject[i]; {
		case isPlain(c):
			b.WriteByte(c)
		case c == '.':
			b.WriteByte('/')
		case c == '=' && i+2 < len(subject):
			high, low := strings.IndexByte(hexDigits, subject[i+1]), strings.IndexByte(hexDigits, subject[i+2])
			if high < 0 || low < 0 {
				return "", errNotEncoded
			}
			d := byte(high<<4 | low)
			if isPlain(d) || d == '/' {
				return "", errNotEncoded
			}
			b.WriteByte(d)
			i += 2
		default:
			return "", errNotEncoded
		}
	}
	return b.String(), nil
}

func checkPlain(subject string) error {
	for i := range len(subject) {
		if !isPlain(subject[i]) {
			return errNotEncoded
		}
	}
	return nil
}

// encodePattern returns the subjects that a pattern of names matches: + is * and # is >. A
// pattern that ends with # matches its parent, too, which needs a subject of its own.
func encodePattern(pattern string) []string {
	if pattern == "#" {
		return []string{">"}
	}
	parent, matchesRest := strings.CutSuffix(pattern, "/#")
	levels := strings.Split(parent, "/")
	for i, level := range levels {
		if level == "+" {
			levels[i] = "*"
		} else {
			levels[i] = encodeName(level)
		}
	}
	subject := strings.Join(levels, ".")
	if !matchesRest {
		return []string{subject}
	}
	return []string{subject, subject + ".>"}
}
