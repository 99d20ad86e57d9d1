package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"rtdb/cmd/rtdb/transfer"
)

// An importCommand writes JSON lines to a running server.
type importCommand struct {
	clientFlags `group:"server"`

	From      string `group:"input" default:"-" placeholder:"FILE" help:"File to read. - is standard input."`
	IfAbsent  bool   `group:"input" help:"Keep the keys that exist."`
	KeepGoing bool   `group:"input" help:"Report a line that cannot be imported, and go on. Without the flag the first one ends the import."`
}

// AfterApply checks the flags.
func (c *importCommand) AfterApply() error { return c.checkTransfer() }

// Run imports the lines. It returns an error if one of them was not imported.
func (c *importCommand) Run(s *streams) error {
	ctx, stop := untilSignal()
	defer stop()
	o := transfer.ImportOptions{Server: c.server(), From: s.in, IfAbsent: c.IfAbsent}
	if c.From != "-" {
		file, err := os.Open(c.From)
		if err != nil {
			return fmt.Errorf("--from: %w", err)
		}
		defer file.Close()
		o.From = file
	}
	var remove func()
	o.OnProgress, remove = s.showProgress(keysLine)
	if c.KeepGoing {
		o.OnLineError = func(e *transfer.LineError) {
			remove()
			fmt.Fprintf(s.err, "rtdb: import: %v\n", e)
		}
	}
	begin := time.Now()
	result, err := transfer.Import(ctx, o)
	remove()
	counts := fmt.Sprintf("%d keys imported", result.Keys)
	if c.IfAbsent {
		counts += fmt.Sprintf(", %d kept", result.Kept)
	}
	var refused *transfer.LineError
	switch {
	case errors.As(err, &refused):
		return fmt.Errorf("import: %w: %s: correct the line and import the file again, or use --keep-going", err, counts)
	case err != nil:
		return fmt.Errorf("import: %w: %s", err, counts)
	case result.Failed > 0:
		return fmt.Errorf("import: %d lines were not imported: %s", result.Failed, counts)
	}
	fmt.Fprintf(s.err, "%s in %v\n", counts, time.Since(begin).Round(time.Millisecond))
	return nil
}
