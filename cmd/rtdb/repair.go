package main

import (
	"errors"
	"fmt"
	"strings"

	"rtdb/keyspace/journal"
)

// A repairCommand makes a store that can be opened of what is left of a damaged one.
type repairCommand struct {
	dirFlags
	Yes bool `help:"Repair the store. Without it, the command only says what would be lost."`
}

// Run prints what is lost and, if it was asked to, repairs the store. It returns an error
// if the store stays damaged.
func (c *repairCommand) Run(s *streams) error {
	r, err := journal.PlanRepair(c.DataDir)
	if err != nil {
		return withHint(c.DataDir, err)
	}
	var text strings.Builder
	switch {
	case r.Resumes:
		fmt.Fprintf(&text, "An earlier repair of %s was interrupted.\n", c.DataDir)
	case len(r.Losses) == 0:
		_, err := fmt.Fprintf(s.out, "%s is whole: there is nothing to repair.\n", c.DataDir)
		return err
	default:
		fmt.Fprintf(&text, "%s is damaged. Lost are:\n", c.DataDir)
		for _, loss := range r.Losses {
			fmt.Fprintf(&text, "  %v\n", loss)
		}
		fmt.Fprintf(&text, "Left are %d keys. A lost write may have changed or deleted one of them.\n", r.Keys)
	}
	if _, err := fmt.Fprint(s.out, text.String()); err != nil {
		return err
	}
	if !c.Yes {
		return errors.New("nothing was changed: restore a backup, or repair the store with --yes, which keeps the damaged files")
	}
	kept, err := r.Run()
	if err != nil {
		return withHint(c.DataDir, fmt.Errorf("the repair was not completed, run it again: %w", err))
	}
	_, err = fmt.Fprintf(s.out, "The store is repaired. The damaged files are in %s.\n", kept)
	return err
}
