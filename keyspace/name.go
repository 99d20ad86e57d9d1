package keyspace

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxNameBytes is the maximum length of a name or pattern, in bytes.
const MaxNameBytes = 512

// ErrInvalidName matches every [NameError] in errors.Is.
var ErrInvalidName = errors.New("keyspace: invalid name")

// A NameError says why a name or a pattern is not valid. It does not repeat the
// name.
type NameError struct {
	Reason string
}

func (e *NameError) Error() string        { return ErrInvalidName.Error() + ": " + e.Reason }
func (e *NameError) Is(target error) bool { return target == ErrInvalidName }

// CheckName returns a *NameError if name is not a valid name of a key or topic. A
// name is 1 to MaxNameBytes bytes of UTF-8, in levels that are separated by '/'. No
// level is empty, "." or "..". The name has no control character (U+0000 to U+001F,
// U+007F), and no '+' or '#', which only patterns may have.
func CheckName(name string) error {
	if err := checkText(name); err != nil {
		return err
	}
	if i := strings.IndexAny(name, "+#"); i >= 0 {
		return &NameError{fmt.Sprintf("it has %q, which only patterns may have", name[i])}
	}
	for level := range strings.SplitSeq(name, "/") {
		if err := checkLevel(level); err != nil {
			return err
		}
	}
	return nil
}

// checkPrefix returns a *NameError if no name can begin with prefix.
func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	if err := checkText(prefix); err != nil {
		return err
	}
	if i := strings.IndexAny(prefix, "+#"); i >= 0 {
		return &NameError{fmt.Sprintf("it has %q, which only patterns may have: a prefix is taken as it is", prefix[i])}
	}
	// The last level is only the beginning of a level, so it is not checked.
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		return CheckName(prefix[:i])
	}
	return nil
}

// checkText checks the rules that names, patterns and prefixes share.
func checkText(s string) error {
	switch {
	case s == "":
		return &NameError{"it is empty"}
	case len(s) > MaxNameBytes:
		return &NameError{fmt.Sprintf("it is %d bytes long, at most %d are allowed", len(s), MaxNameBytes)}
	case !utf8.ValidString(s):
		return &NameError{"it is not valid UTF-8"}
	}
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == 0x7f {
			return &NameError{fmt.Sprintf("it has the control character U+%04X", c)}
		}
	}
	return nil
}

func checkLevel(level string) error {
	switch level {
	case "":
		return &NameError{"it has an empty level (a leading, trailing or doubled '/')"}
	case ".", "..":
		return &NameError{fmt.Sprintf("it has a level that is %q", level)}
	}
	return nil
}
