package main

import (
	"fmt"

	"rtdb/cmd/rtdb/transfer"
)

// showProgress returns a function that shows the progress of a transfer on one line of
// standard error, and one that removes the line. They do nothing if standard error is not
// a terminal.
func (s *streams) showProgress(format func(transfer.Progress) string) (show func(transfer.Progress), remove func()) {
	if !isTerminal(s.err) {
		return nil, func() {}
	}
	return func(p transfer.Progress) { fmt.Fprint(s.err, clearLine, format(p)) },
		func() { fmt.Fprint(s.err, clearLine) }
}

// clearLine goes to the beginning of the terminal's line, and erases it (ECMA-48).
const clearLine = "\r\x1b[K"

// keysLine formats the progress of an export or an import.
func keysLine(p transfer.Progress) string {
	return fmt.Sprintf("%.0fs  %d keys  %.0f keys/s", p.Elapsed.Seconds(), p.Keys, p.KeysPerSecond)
}
