package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// explain adds a hint to an error of kong's parser. commands is the root of the commands.
func explain(err error, commands *kong.Node) error {
	text := err.Error()
	if m := unexpectedArgument.FindStringSubmatch(text); m != nil {
		return unexpected(m[1], parent(err, commands))
	}
	if m := missingArguments.FindStringSubmatch(text); m != nil {
		command := parent(err, commands)
		return fmt.Errorf("%s: expected %s: see %s --help", command.Name, m[1], command.FullPath())
	}
	if m := unknownFlag.FindStringSubmatch(text); m != nil {
		return unknown(err, m[1], commands)
	}
	switch {
	case unknownLetter.MatchString(text) && len(parent(err, commands).Positional) > 0:
		return fmt.Errorf("%s: put -- before arguments that begin with a dash, as in rtdb get -- -x", unknownLetter.FindString(text))
	case unknownLetter.MatchString(text):
		return fmt.Errorf("%s: flags begin with two dashes, such as --port: see rtdb --help", unknownLetter.FindString(text))
	case strings.Contains(text, "applies to the default command"):
		return fmt.Errorf("%w: put the flags of a command after its name", err)
	}
	return byVariable(plain(err))
}

var (
	unexpectedArgument = regexp.MustCompile(`^unexpected argument (.*)$`)
	missingArguments   = regexp.MustCompile(`^expected "(<.*)"$`)
	unknownFlag        = regexp.MustCompile(`^unknown flag --([^, ]+)$`) // kong suggests nothing
	unknownLetter      = regexp.MustCompile(`^unknown flag -[^-]`)
	wrongSetting       = regexp.MustCompile(`^--([a-z-]+) \(\$([A-Z_]+)\)(: .*)$`)
)

// unknown adds a hint to an error about an unknown flag.
func unknown(err error, flag string, commands *kong.Node) error {
	if others := commandsWith(flag, commands); len(others) > 0 {
		const most = 4 // that are named
		if more := len(others) - most; more > 1 {
			others = append(others[:most], fmt.Sprintf("and %d other commands", more))
		}
		hint := ""
		if parent(err, commands) == commands {
			hint = ": put it after the name of the command"
		}
		return fmt.Errorf("%w: it is a flag of %s%s", err, strings.Join(others, ", "), hint)
	}
	for _, c := range commands.Children {
		if c.Name == flag {
			return fmt.Errorf("%w, did you mean %q?", err, c.FullPath())
		}
	}
	return fmt.Errorf("%w: see rtdb --help", err)
}

// parent returns the command that the arguments of a failed parse name, without a command
// that is only the default.
func parent(err error, commands *kong.Node) *kong.Node {
	node := commands
	var failed *kong.ParseError
	if errors.As(err, &failed) {
		for _, step := range failed.Context.Path {
			if step.Command != nil && (step.Parent == nil || step.Parent.DefaultCmd != step.Command) {
				node = step.Command
			}
		}
	}
	return node
}

// unexpected returns the error about an argument that is not a command of node. Below
// token the argument may be a token, which no output may contain.
func unexpected(argument string, node *kong.Node) error {
	what, hint := "unexpected argument "+argument, ": see rtdb --help"
	if strings.HasPrefix(node.FullPath(), "rtdb token") {
		what, hint = "token: unexpected argument", ": to inspect a token, use rtdb token inspect"
	}
	nearest := 3 // letters that are wrong are too many
	for _, c := range node.Children {
		if d := distance(argument, c.Name); d < nearest && !c.Hidden {
			nearest = d
			hint = fmt.Sprintf(", did you mean %q?", c.FullPath())
		}
	}
	return errors.New(what + hint)
}

// commandsWith returns the commands that have a flag.
func commandsWith(flag string, node *kong.Node) (names []string) {
	for _, c := range node.Children {
		name := c.FullPath()
		if c.Parent.DefaultCmd == c {
			name = c.Parent.FullPath() // rtdb, and rtdb token
		}
		if slices.ContainsFunc(c.Flags, func(f *kong.Flag) bool { return f.Name == flag }) {
			names = append(names, name)
		}
		names = append(names, commandsWith(flag, c)...)
	}
	return names
}

// plainWords replace words of kong's that only programmers know.
var plainWords = strings.NewReplacer(
	"expected a valid 64 bit int", "expected a whole number",
	"expected duration but", "expected a duration like 15s or 500ms but",
)

// A plainError is an error with other words.
type plainError struct {
	error
	text string
}

func (e plainError) Error() string { return e.text }
func (e plainError) Unwrap() error { return e.error }

func plain(err error) error { return plainError{err, plainWords.Replace(err.Error())} }

// byVariable makes an error about a setting name its environment variable first, if the
// value comes from there.
func byVariable(err error) error {
	m := wrongSetting.FindStringSubmatch(err.Error())
	var failed *kong.ParseError
	if m == nil || os.Getenv(m[2]) == "" || !errors.As(err, &failed) {
		return err
	}
	for _, step := range failed.Context.Path {
		if step.Flag != nil && step.Flag.Name == m[1] && !step.Resolved {
			return err // the arguments set it
		}
	}
	return fmt.Errorf("$%s (--%s)%s", m[2], m[1], m[3])
}

// distance returns how many letters must be changed, added or removed to make b of a
// (Levenshtein's distance).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
