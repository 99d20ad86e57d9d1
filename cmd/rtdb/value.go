package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// valueFlags are the value that a command sends.
type valueFlags struct {
	Value argument `arg:"" help:"JSON value, such as 21, '\"on\"' or '{\"a\":1}'. - reads standard input."`
	Text  bool     `help:"Send the value as a JSON string, even if it is a number or other JSON."`
}

// An argument is a positional argument that may be a negative number: see withNumbers.
type argument string

// UnmarshalText reads an argument.
func (a *argument) UnmarshalText(text []byte) error {
	*a = argument(strings.TrimPrefix(string(text), dashMark))
	return nil
}

// dashMark stands before an argument that begins with a dash and is not a flag. No argument
// of a process can have it.
const dashMark = "\x00"

// withNumbers marks the values that are negative numbers, because kong would take them for
// flags.
func withNumbers(args []string) []string {
	if len(args) == 0 || args[0] != "set" && args[0] != "publish" && args[0] != "patch" {
		return args
	}
	marked := make([]string, len(args))
	for i, arg := range args {
		ofFlag := i > 0 && strings.HasPrefix(args[i-1], "--") && args[i-1] != "--text" && args[i-1] != "--"
		if strings.HasPrefix(arg, "-") && json.Valid([]byte(arg)) && !ofFlag {
			arg = dashMark + arg
		}
		marked[i] = arg
	}
	return marked
}

const fromInput argument = "-"

// check returns an error if the value is not JSON.
func (f *valueFlags) check() error {
	if f.Value == fromInput {
		return nil
	}
	_, err := f.encode(string(f.Value))
	return err
}

// read returns the value as JSON.
func (f *valueFlags) read(s *streams) (json.RawMessage, error) {
	if f.Value != fromInput {
		return f.encode(string(f.Value))
	}
	const most = 256 << 20 // more than any server takes
	text, err := io.ReadAll(io.LimitReader(s.in, most+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read the value from standard input: %w", err)
	case len(text) > most:
		return nil, fmt.Errorf("the value on standard input has more than %d bytes", most)
	}
	return f.encode(string(text))
}

func (f *valueFlags) encode(text string) (json.RawMessage, error) {
	shown := text
	const most = 60
	if len(shown) > most {
		shown = strings.ToValidUTF8(shown[:most], "") + "…"
	}
	switch {
	case !utf8.ValidString(text):
		return nil, fmt.Errorf("the value %q is not UTF-8", shown)
	case f.Text:
		return quoteText(text), nil
	case json.Valid([]byte(text)):
		return json.RawMessage(text), nil
	case strings.TrimSpace(text) == "":
		return nil, errors.New(`the value is empty: the empty string is '""', or "" with --text`)
	}
	return nil, fmt.Errorf(`the value %s is not JSON: for a string use --text, or quotes within quotes, as in '"on"'`, shown)
}
