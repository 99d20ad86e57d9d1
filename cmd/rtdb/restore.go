package main

import (
	"fmt"
	"io"
	"os"

	"rtdb/keyspace/journal"
)

// A restoreCommand makes a store of a backup.
type restoreCommand struct {
	DataDir string `required:"" env:"DATA_DIR" placeholder:"DIR" help:"Directory for the store. It must be empty or not exist."`
	From    string `required:"" placeholder:"FILE" help:"Backup to restore, made by rtdb backup or GET /backup. - reads standard input."`
}

// Run makes the store, checks it, and prints a summary of it.
func (c *restoreCommand) Run(s *streams) error {
	from := s.in
	if c.From != "-" {
		f, err := os.Open(c.From)
		if err != nil {
			return fmt.Errorf("--from: %w", err)
		}
		defer f.Close()
		from = f
	}
	return c.restore(s.out, from)
}

func (c *restoreCommand) restore(out io.Writer, from io.Reader) error {
	r, err := journal.Restore(c.DataDir, from)
	if err != nil {
		return withHint(c.DataDir, fmt.Errorf("cannot restore %s: %w", c.From, err))
	}
	_, err = fmt.Fprintf(out, "%s is restored\n%s", c.DataDir, describeStore(r))
	return err
}
