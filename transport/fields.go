package transport

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// maxDepth is how deep arrays and objects in a value may be nested.
const maxDepth = 64

// maxTTL is the longest time to live: what is asked beyond it is as good as
// for ever, and a time.Duration ends in the year 292.
const maxTTL = 100 * 365 * 24 * time.Hour

// A field is what a request says under one name. Where a name comes more than
// once the last counts, what was wrong with the others included.
type field struct {
	present bool
	raw     []byte        // as it stands in the request, or as it is kept
	text    string        // of a string
	texts   []string      // of an array of strings
	number  uint64        // of a number
	ttl     time.Duration // of a number of seconds
	truth   bool          // of a boolean
	err     error         // that the field is no good for what it is there for
}

func idField(v rawValue) field {
	switch {
	case v.isNull():
		return field{}
	case v.isString(), v.isNumber():
		return field{present: true, raw: v.compact()}
	}
	return field{err: refuse(codeInvalidRequest, "the id is neither a string nor a number")}
}

func stringField(what string, v rawValue) field {
	switch {
	case v.isNull():
		return field{}
	case v.isString():
		return field{present: true, text: decodeString(v.text)}
	}
	return field{err: refuse(codeInvalidRequest, "the %s is not a string", what)}
}

func nameField(what string, v rawValue) field {
	f := stringField(what, v)
	if f.present && loneSurrogate(v.text) {
		f = field{err: refuse(codeInvalidName, "the %s has half of a surrogate pair", what)}
	}
	return f
}

// namesField reads an array of names, each of which check takes.
func namesField(what string, v rawValue, check func(string) error) field {
	if v.isNull() {
		return field{}
	}
	f := field{present: true}
	notNames := refuse(codeInvalidRequest, "%s is not an array of strings", what)
	if !v.isArray() {
		f.err = notNames
		return f
	}
	s := scanner{data: v.text}
	err := s.array(func() error {
		element, err := s.value()
		if err != nil {
			return err
		}
		if !element.isString() {
			return refuse(codeInvalidRequest, "%s: %s is not a string", what, quoted(string(element.text)))
		}
		name := decodeString(element.text)
		if loneSurrogate(element.text) {
			return refuse(codeInvalidName, "%s: %s has half of a surrogate pair", what, quoted(name))
		}
		if err := check(name); err != nil {
			return refuse(codeInvalidName, "%s: %s is not a valid name: %s", what, quoted(name), reasonOf(err))
		}
		f.texts = append(f.texts, name)
		return nil
	})
	switch {
	case err != nil:
		f.err = err
	case len(f.texts) == 0:
		f.err = refuse(codeInvalidRequest, "%s is empty", what)
	}
	return f
}

func boolField(what string, v rawValue) field {
	switch {
	case v.isNull():
		return field{}
	case v.isTrue(), v.isFalse():
		return field{present: true, truth: v.isTrue()}
	}
	return field{present: true, err: refuse(codeInvalidRequest, "%s is neither true nor false", what)}
}

// versionField reads an integer that is not negative. How it is written does
// not matter: there are clients that know only floating-point numbers.
func versionField(what string, v rawValue) field {
	if v.isNull() {
		return field{}
	}
	f := field{present: true}
	wrong := refuse(codeInvalidRequest, "%s is not an integer of 0 or more", what)
	if !v.isNumber() {
		f.err = wrong
		return f
	}
	if n, ok := parseVersion(string(v.text)); ok {
		f.number = n
		return f
	}
	// Written with a point or an exponent. More digits than a float64 has
	// are no integer's that anybody means.
	x, err := strconv.ParseFloat(string(v.text), 64)
	mantissa, _, _ := strings.Cut(strings.ToLower(string(v.text)), "e")
	zero := strings.Trim(mantissa, "0.") == ""
	switch {
	case math.Signbit(x), x != math.Trunc(x), (x == 0) != zero, len(mantissa) > 18:
		f.err = wrong
	case err != nil || x >= math.MaxUint64:
		f.number = math.MaxUint64
	default:
		f.number = uint64(x)
	}
	return f
}

// parseVersion reads digits. A version larger than there are is as good as the
// largest.
func parseVersion(text string) (uint64, bool) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, _ := strconv.ParseUint(text, 10, 64) // at worst it is out of range, and n the largest
	return n, true
}

func ttlField(v rawValue) field {
	if v.isNull() {
		return field{}
	}
	f := field{present: true}
	x, tiny := math.NaN(), false
	if v.isNumber() {
		x, _ = strconv.ParseFloat(string(v.text), 64) // out of range it is infinite, or 0
		mantissa, _, _ := strings.Cut(strings.ToLower(string(v.text)), "e")
		tiny = x == 0 && !math.Signbit(x) && strings.Trim(mantissa, "0.") != ""
	}
	if !(x > 0) && !tiny {
		f.err = refuse(codeInvalidRequest, "ttl is not a number of seconds above 0")
		return f
	}
	f.ttl = maxTTL
	if x < maxTTL.Seconds() {
		f.ttl = max(time.Duration(x*float64(time.Second)), 1)
	}
	return f
}

func valueField(v rawValue, maxBytes int) field {
	f := field{present: true}
	if v.depth > maxDepth {
		f.err = refuse(codeInvalidValue, "the value is nested %d deep, %d at most are allowed", v.depth, maxDepth)
		return f
	}
	f.raw = v.compact()
	if len(f.raw) > maxBytes {
		f.err = tooLong(len(f.raw), maxBytes)
		f.raw = nil
	}
	return f
}

func tooLong(bytes, maxBytes int) error {
	return refuse(codeTooLarge, "the value is %d bytes long, %d at most are allowed", bytes, maxBytes)
}

// mergeInto returns the Merge of a patch, for a keyspace.Change. Patching does
// not nest a value deeper than it and the patch were.
func mergeInto(patch []byte, maxBytes int) func(old []byte) ([]byte, error) {
	parsed := parseMergePatch(patch)
	return func(old []byte) ([]byte, error) {
		value := parsed.apply(old)
		if len(value) > maxBytes {
			return nil, tooLong(len(value), maxBytes)
		}
		return value, nil
	}
}

// atVersion is a condition for a keyspace.Change.
func atVersion(want uint64) func(uint64) bool {
	return func(version uint64) bool { return version == want }
}
