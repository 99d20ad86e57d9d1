package main

import (
	"bufio"
	"errors"
	"strings"
	"syscall"

	"rtdb/cmd/rtdb/terminal"
)

// An output prints lines of text that clients have written. On a terminal it shows the
// characters that the terminal would act upon as escapes. In a pipe the text stays as it
// is.
type output struct {
	*bufio.Writer
	terminal bool
}

func (s *streams) output() *output {
	return &output{bufio.NewWriterSize(s.out, 64<<10), isTerminal(s.out)}
}

// line prints a line of fields, with tabs between them.
func (o *output) line(fields ...string) {
	text := strings.Join(fields, "\t")
	if o.terminal {
		for i, field := range fields {
			fields[i] = terminal.Visible(field)
		}
		text = strings.Join(fields, "  ")
	}
	_, _ = o.WriteString(text) // flush returns the error
	_ = o.WriteByte('\n')
}

// flush writes the lines to the terminal or the pipe.
func (o *output) flush() error { return quietly(o.Flush()) }

// quietly returns errLogged if err says that nobody reads the output any more, as with
// | head. Usually SIGPIPE ends the process before that.
func quietly(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return errLogged
	}
	return err
}
