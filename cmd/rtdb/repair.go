package main

import (
	"errors"
	"fmt"
	"strings"

	"rtdb/keyspace/journal"
)

// A repairCommand makes a new store from the undamaged parts of a damaged one.
type repairCommand struct {
	dirFlags
	Yes bool `help:"Repair the store. Without this flag, the command only lists the losses."`
}

// Run prints the losses and, with --yes, repairs the store. It returns an error if the store
// stays damaged.
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
		fmt.Fprintf(&text, "%s is damaged. A repair loses:\n", c.DataDir)
		for _, loss := range r.Losses {
			fmt.Fprintf(&text, "  %v\n", loss)
		}
		fmt.Fprintf(&text, "It keeps %d keys. A lost write may have changed or deleted some of them.\n", r.Keys)
	}
	if _, err := fmt.Fprint(s.out, text.String()); err != nil {
		return err
	}
	if !c.Yes {
		return errors.New("nothing was changed: restore a backup, or run rtdb repair again with --yes, which keeps the damaged files")
	}
	kept, err := r.Run()
	if err != nil {
		return withHint(c.DataDir, fmt.Errorf("the repair was not completed: %w: run it again", err))
	}
	_, err = fmt.Fprintf(s.out, "The store is repaired. The damaged files are in %s.\n", kept)
	return err
}
