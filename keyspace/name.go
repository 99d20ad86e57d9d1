package keyspace

import (
	"errors"
	"fmt"
	"strings"
)

// MaxNameBytes is the longest name of a key or topic, in bytes.
const MaxNameBytes = 512

// ErrInvalidName is what every [NameError] is, by errors.Is.
var ErrInvalidName = errors.New("keyspace: invalid name")

// A NameError says why a name is none. It never repeats the name.
type NameError struct {
	Reason string
}

func (e *NameError) Error() string        { return ErrInvalidName.Error() + ": " + e.Reason }
func (e *NameError) Is(target error) bool { return target == ErrInvalidName }

// CheckName returns a *NameError where name is no name of a key or topic. A
// name is 1 to MaxNameBytes bytes of UTF-8 in levels split by '/'. No level is
// empty, "." or ".."; and no character is a control character (U+0000 to
// U+001F, U+007F) or one that patterns are made of ('+', '#').
func CheckName(name string) error {
	if err := checkText(name); err != nil {
		return err
	}
	if at := strings.IndexAny(name, "+#"); at >= 0 {
		return &NameError{fmt.Sprintf("it has %q, which only patterns may have", name[at])}
	}
	for level := range strings.SplitSeq(name, "/") {
		if err := checkLevel(level); err != nil {
			return err
		}
	}
	return nil
}

// checkPrefix returns a *NameError where no name begins with prefix.
func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	if err := checkText(prefix); err != nil {
		return err
	}
	if at := strings.IndexAny(prefix, "+#"); at >= 0 {
		return &NameError{fmt.Sprintf("it has %q, which only patterns may have: a prefix is taken as it is", prefix[at])}
	}
	// Its last level may go on.
	if at := strings.LastIndexByte(prefix, '/'); at >= 0 {
		return CheckName(prefix[:at])
	}
	return nil
}
