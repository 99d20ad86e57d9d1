package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"rtdb/cmd/rtdb/shellwords"
)

// A completeCommand prints the candidates for the word at the cursor, one a line. The
// scripts of rtdb completion call it.
type completeCommand struct {
	Shell string   `arg:"" enum:"bash,zsh"`
	Words []string `arg:"" optional:""` // bash: the line up to the cursor, and COMP_WORDBREAKS; zsh: the words behind rtdb

	// Timeout limits the wait for the server's keys after the Tab key.
	Timeout time.Duration `hidden:"" default:"500ms" env:"RTDB_COMPLETION_TIMEOUT"`
}

// filesLine says that the shell should complete the name of a file. A key has no tab.
const filesLine = "\tfiles"

// Run prints the candidates. It prints nothing if there are none, whatever the reason: an
// error in the middle of a command line would help nobody.
func (c *completeCommand) Run(s *streams) error {
	out := s.output()
	out.terminal = false
	if c.Shell == "bash" && len(c.Words) == 2 {
		line := shellwords.Split(c.Words[0], c.Words[1])
		var words []string
		for _, w := range line[1:] {
			words = append(words, w.Text)
		}
		for _, found := range complete(words, c.Timeout) {
			if found.files {
				out.line(filesLine)
				continue
			}
			out.line(line[len(line)-1].Complete(found.text, !found.level))
		}
	}
	if c.Shell == "zsh" {
		for _, found := range complete(c.Words, c.Timeout) {
			switch {
			case found.files:
				out.line(filesLine)
			case found.help != "":
				out.line(found.text, found.help)
			default:
				out.line(found.text)
			}
		}
	}
	return out.flush()
}

// A candidate is a text that a word may become.
type candidate struct {
	text  string
	help  string // of a command or a flag
	level bool   // it ends with a slash, and more follows
	files bool   // any file; text is empty
}

// complete returns the candidates for the last one of the words behind rtdb. It asks the
// server for no longer than timeout.
func complete(words []string, timeout time.Duration) []candidate {
	if len(words) == 0 {
		return nil
	}
	parser, _, err := newParser(&streams{}, new(wrongVariables))
	if err != nil {
		return nil
	}
	l := argumentLine{node: parser.Model.Node, flags: make(map[string]string), timeout: timeout}
	for _, word := range words[:len(words)-1] {
		l.take(word)
	}
	var found []candidate
	word := words[len(words)-1]
	for _, c := range l.candidates(word) {
		if c.files || strings.HasPrefix(c.text, word) {
			found = append(found, c)
		}
	}
	return found
}

// An argumentLine is the meaning of the words before the cursor.
type argumentLine struct {
	node     *kong.Node        // the command
	flags    map[string]string // values by name
	open     *kong.Flag        // the last word is a flag that needs a value
	redirect bool              // the last word redirects to a file
	onlyArgs bool              // there was a --
	args     int               // positional arguments
	timeout  time.Duration     // for the server
}

// take reads a word before the cursor.
func (l *argumentLine) take(word string) {
	open, redirect := l.open, l.redirect
	l.open, l.redirect = nil, false
	name, value, hasValue := strings.Cut(strings.TrimPrefix(word, "--"), "=")
	switch {
	case redirect: // the name of a file
	case word == "<" || word == ">":
		l.redirect = true
	case open != nil:
		l.flags[open.Name] = word
	case l.onlyArgs:
		l.args++
	case word == "--":
		l.onlyArgs = true
	case strings.HasPrefix(word, "--"):
		if flag := l.flag(name); flag == nil || flag.IsBool() {
			return
		} else if !hasValue {
			l.open = flag
			return
		}
		l.flags[name] = value
	default:
		if child := l.child(word); child != nil && l.args == 0 {
			l.node = child
			return
		}
		l.args++
	}
}

// child returns the command of that name.
func (l *argumentLine) child(name string) *kong.Node {
	i := slices.IndexFunc(l.node.Children, func(n *kong.Node) bool { return n.Name == name && !n.Hidden })
	if i < 0 {
		return nil
	}
	return l.node.Children[i]
}

// allFlags returns the flags of the command, and those of its default command.
func (l *argumentLine) allFlags() []*kong.Flag {
	all := slices.Clone(l.node.Flags)
	if l.node.DefaultCmd != nil {
		all = append(all, l.node.DefaultCmd.Flags...)
	}
	return slices.DeleteFunc(all, func(f *kong.Flag) bool { return f.Hidden })
}

func (l *argumentLine) flag(name string) *kong.Flag {
	for _, f := range l.allFlags() {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// candidates returns the candidates for a word. Some of them may not begin with it.
func (l *argumentLine) candidates(word string) (all []candidate) {
	name, value, hasValue := strings.Cut(strings.TrimPrefix(word, "--"), "=")
	switch {
	case l.redirect:
		return []candidate{{files: true}}
	case l.open != nil:
		return l.values(l.open.Value, word)
	case strings.HasPrefix(word, "--") && hasValue && !l.onlyArgs:
		flag := l.flag(name)
		if flag == nil {
			return nil
		}
		for _, c := range l.values(flag.Value, value) {
			c.text = "--" + name + "=" + c.text
			all = append(all, c)
		}
		return slices.DeleteFunc(all, func(c candidate) bool { return c.files }) // the shell would replace the flag
	case strings.HasPrefix(word, "-") && !l.onlyArgs:
		for _, f := range l.allFlags() {
			all = append(all, candidate{text: "--" + f.Name, help: oneLine(f.Help)})
		}
		return append(all, candidate{text: "--help", help: "Show the help."})
	}
	if l.args == 0 {
		for _, n := range l.node.Children {
			if !n.Hidden {
				all = append(all, candidate{text: n.Name, help: oneLine(n.Help)})
			}
		}
	}
	if places := l.node.Positional; len(places) > 0 {
		last := places[len(places)-1]
		switch {
		case l.args < len(places):
			all = append(all, l.values(places[l.args], word)...)
		case last.IsCumulative():
			all = append(all, l.values(last, word)...)
		}
	}
	return all
}

// oneLine returns the first sentence of a help text.
func oneLine(help string) string {
	first, _, _ := strings.Cut(strings.TrimSuffix(help, "."), ". ")
	return strings.ReplaceAll(first, "\n", " ")
}

// values returns the candidates for an argument or for the value of a flag.
func (l *argumentLine) values(v *kong.Value, word string) (all []candidate) {
	placeholder := ""
	if v.Flag != nil {
		placeholder = v.Flag.PlaceHolder
	}
	switch {
	case v.Enum != "":
		for _, text := range v.EnumSlice() {
			all = append(all, candidate{text: text})
		}
		return all
	case placeholder == "FILE" || placeholder == "DIR":
		return []candidate{{files: true}}
	case v.Name == "pattern" || placeholder == "PATTERN":
		return l.lookUp(word, true)
	case v.Name == "key" || v.Name == "prefix":
		return l.lookUp(word, false)
	}
	return nil
}

// lookUp returns keys of the server that the line names.
func (l *argumentLine) lookUp(word string, patterns bool) []candidate {
	var server clientFlags
	parser, err := kong.New(&server, kong.Resolvers(kong.ResolverFunc(new(wrongVariables).resolve)))
	if err != nil {
		return nil
	}
	var args []string
	for _, name := range []string{"url", "token", "host", "port"} {
		if value, ok := l.flags[name]; ok {
			args = append(args, fmt.Sprintf("--%s=%s", name, value))
		}
	}
	if _, err := parser.Parse(args); err != nil || server.checkServer() != nil {
		return nil
	}
	asking := requestFlags{clientFlags: server, Timeout: l.timeout}
	return asking.completeKeys(word, patterns)
}
