package main

import (
	"errors"
	"fmt"
	"strings"

	"rtdb/keyspace/journal"
)

// dirFlags name the directory that a command works on while no server uses it.
type dirFlags struct {
	DataDir string `required:"" env:"DATA_DIR" placeholder:"DIR" help:"Directory of the store. No server may use it."`
}

// A checkCommand reads a whole store, and changes nothing.
type checkCommand struct {
	dirFlags
}

// Run prints a summary of the store. It returns an error if the store is damaged.
func (c *checkCommand) Run(s *streams) error {
	r, err := journal.Check(c.DataDir)
	var damage *journal.DamageError
	if errors.As(err, &damage) {
		return fmt.Errorf("%w: rtdb repair --data-dir %s lists the losses of a repair", plainStoreError(err), c.DataDir)
	}
	if err != nil {
		return withHint(c.DataDir, err)
	}
	_, err = fmt.Fprintf(s.out, "%s is whole\n%s", c.DataDir, describeStore(r))
	return err
}

// describeStore returns the lines of a summary of a store.
func describeStore(r journal.Report) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-13s "+format+"\n", append([]any{name}, args...)...)
	}
	line("files", "%d, %d bytes", r.Files, r.Bytes)
	line("writes", "%d", r.Writes)
	line("keys", "%d", r.Keys)
	line("deletes", "%d that are remembered", r.Deletes)
	line("last version", "%d", r.Last)
	switch r.Epoch {
	case "":
		line("epoch", "not known, because rtdb.json is missing: the next start begins a new one")
	default:
		line("epoch", "%s", r.Epoch)
	}
	switch {
	case r.Closed:
		line("end", "whole: the server was stopped, or has written nothing since its start")
	case r.Torn > 0:
		line("end", "the server was killed: the last %d bytes were never acknowledged, and the next start cuts them off", r.Torn)
	default:
		line("end", "the server was killed")
	}
	return b.String()
}
