package main

import (
	"errors"
	"fmt"
	"time"

	"rtdb/cmd/rtdb/transfer"
)

// A backupCommand writes a backup of a running server to a file.
type backupCommand struct {
	clientFlags `group:"server"`

	To    string `group:"output" required:"" placeholder:"FILE" help:"File to write, a tar archive. It gets its name when it is complete and checked."`
	Force bool   `group:"output" help:"Replace the file if it exists."`
}

// AfterApply checks the flags.
func (c *backupCommand) AfterApply() error {
	if c.To == "-" {
		return errors.New("--to: a backup is checked before it gets its name, so it cannot go to standard output: name a file")
	}
	return c.checkTransfer()
}

// Run makes the backup.
func (c *backupCommand) Run(s *streams) error {
	ctx, stop := untilSignal()
	defer stop()
	o := transfer.BackupOptions{Server: c.server(), To: c.To, Force: c.Force}
	var remove func()
	o.OnProgress, remove = s.showProgress(func(p transfer.Progress) string {
		return fmt.Sprintf("%.0fs  %d bytes", p.Elapsed.Seconds(), p.Bytes)
	})
	begin := time.Now()
	result, err := transfer.Backup(ctx, o)
	remove()
	switch {
	case errors.Is(err, transfer.ErrExists):
		return fmt.Errorf("backup: --to: %w: choose another name, or use --force to replace it", err)
	case err != nil:
		return fmt.Errorf("backup: %w: %s was not written", err, c.To)
	}
	fmt.Fprintf(s.err, "%d bytes in %d files received and checked in %v: %s\n",
		result.Bytes, result.Files, time.Since(begin).Round(time.Millisecond), c.To)
	return nil
}
