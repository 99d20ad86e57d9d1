package main

import (
	"fmt"
	"io"
	"os"

	"github.com/mattn/go-isatty"

	"rtdb/cmd/rtdb/terminal"
)

// streams are the standard streams of a command.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}

// note prints a line to standard error while a command goes on.
func (s *streams) note(text string) { fmt.Fprintln(s.err, "rtdb: "+terminal.Visible(text)) }
