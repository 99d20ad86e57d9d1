package main

import (
	"errors"
	"io"
	"log"
	"os"
	"slices"
	"strings"

	"rtdb/cmd/rtdb/terminal"
)

// The exit statuses.
const (
	exitOK          = 0
	exitFailure     = 1 // the command failed: it cannot listen, or the server is not healthy
	exitBadUsage    = 2 // the command line or a setting is wrong
	exitStoreFailed = 3 // the server's store could not write
)

func main() {
	log.SetOutput(io.Discard) // net/http writes to it, and a command reports its errors in one line
	os.Exit(run(os.Args[1:], &streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}

// run runs the command that args name and returns the exit status.
func run(args []string, s *streams) int {
	command, err := parse(args, s)
	switch {
	case err != nil:
		complain(s.err, err)
		if slices.Contains(args, "health") {
			return exitFailure // Docker reserves status 2 of a health check
		}
		return exitBadUsage
	case command == nil: // the help has been printed
		return exitOK
	}
	switch err := command.Run(s); {
	case err == nil:
		return exitOK
	case errors.Is(err, errStoreFailed):
		return exitStoreFailed
	case !errors.Is(err, errLogged):
		complain(s.err, err)
	}
	return exitFailure
}

// complain prints an error on one line, without the characters that a terminal would act
// upon: the error may have text of the server, or of other clients. It does not wait long for
// standard error, and does not end the process if nobody reads it: the exit status must
// still be right.
func complain(w io.Writer, err error) {
	text := strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), " ")
	ignoreSignals()
	line := newLogQueue(w, nil)
	_, _ = io.WriteString(line, "rtdb: "+terminal.Visible(text)+"\n") // a queue never fails
	line.close(logGrace)
}
