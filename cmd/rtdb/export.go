package main

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"rtdb/cmd/rtdb/transfer"
)

// An exportCommand writes the keys of a running server as JSON lines.
type exportCommand struct {
	clientFlags `group:"server"`

	Prefix  string `group:"keys" xor:"keys" placeholder:"TEXT" help:"Only keys that begin with the text."`
	Pattern string `group:"keys" xor:"keys" placeholder:"PATTERN" help:"Only keys that match the pattern, such as devices/+/state or devices/#."`
	To      string `group:"output" default:"-" placeholder:"FILE" help:"File to write. It gets its name when it is complete. - is standard output."`
}

// AfterApply checks the flags.
func (c *exportCommand) AfterApply() error { return c.checkTransfer() }

// Run exports the keys.
func (c *exportCommand) Run(s *streams) error {
	ctx, stop := untilSignal()
	defer stop()
	out := s.out
	var file *transfer.File
	if c.To != "-" {
		var err error
		if file, err = transfer.Create(c.To, true); err != nil {
			return fmt.Errorf("--to: %w", err)
		}
		out = file
	}
	o := transfer.ExportOptions{Server: c.server(), Prefix: c.Prefix, Pattern: c.Pattern, To: out}
	remove := func() {}
	if file != nil || !isTerminal(s.out) { // on a terminal the progress would be between the lines
		o.OnProgress, remove = s.showProgress(keysLine)
	}
	begin := time.Now()
	result, err := transfer.Export(ctx, o)
	remove()
	if file != nil {
		err = c.finish(file, result, err)
	}
	switch {
	case file == nil && errors.Is(err, syscall.EPIPE): // usually SIGPIPE ends the process first
		return errLogged // the reader, such as head, needs no more lines
	case err != nil:
		return fmt.Errorf("export: %w: %d keys were exported", err, result.Keys)
	}
	fmt.Fprintf(s.err, "%d keys exported in %v\n", result.Keys, time.Since(begin).Round(time.Millisecond))
	return nil
}

// finish gives the file its name if the export succeeded. Otherwise it keeps the keys that
// were exported in a file that the error names.
func (c *exportCommand) finish(file *transfer.File, result transfer.ExportResult, err error) error {
	switch {
	case err == nil:
		return file.Commit()
	case result.Keys == 0:
		return errors.Join(err, file.Discard())
	}
	name, closed := file.Keep()
	if closed != nil {
		return errors.Join(err, closed)
	}
	return fmt.Errorf("%w: the keys exported so far are in %s", err, name)
}
