package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"rtdb/transport/client"
)

// A deleteCommand deletes keys.
type deleteCommand struct {
	Keys         []string `arg:"" optional:"" name:"key" help:"Keys to delete."`
	Pattern      string   `group:"keys" placeholder:"PATTERN" help:"Delete the keys that match the pattern, such as devices/#, and print their number."`
	Yes          bool     `group:"keys" help:"Do not ask before keys are deleted by a pattern."`
	IfVersion    *uint64  `group:"keys" placeholder:"VERSION" help:"Delete the key only if it has this version."`
	requestFlags `group:"server"`
}

// AfterApply checks the flags.
func (c *deleteCommand) AfterApply() error {
	if err := c.check(); err != nil {
		return err
	}
	switch {
	case len(c.Keys) == 0 && c.Pattern == "":
		return errors.New("delete: name the keys to delete, or use --pattern")
	case len(c.Keys) > 0 && c.Pattern != "":
		return errors.New("delete: name keys or use --pattern, and not both")
	case c.IfVersion != nil && len(c.Keys) != 1:
		return errors.New("delete: --if-version needs exactly one key")
	}
	for _, key := range c.Keys {
		if strings.ContainsAny(key, "+#") {
			return fmt.Errorf("delete: %q is a pattern, and not a key: use --pattern", key)
		}
	}
	return nil
}

// Run deletes the keys, and prints the versions of the deletes, or the number of the keys
// that matched the pattern.
func (c *deleteCommand) Run(s *streams) error {
	if c.Pattern != "" {
		return c.deletePattern(s)
	}
	var options []client.WriteOption
	if c.IfVersion != nil {
		options = append(options, client.IfVersion(*c.IfVersion))
	}
	var missing []string
	out := s.output()
	err := c.run(func(ctx context.Context, server *client.Client) error {
		for _, key := range c.Keys {
			switch version, err := client.Delete(ctx, server, key, options...); {
			case errors.Is(err, client.ErrNotFound):
				missing = append(missing, fmt.Sprintf("%q", key))
			case err != nil:
				return err
			default:
				out.line(strconv.FormatUint(version, 10))
			}
		}
		return nil
	})
	if flushed := out.flush(); err == nil {
		err = flushed
	}
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("delete: there is no key %s", strings.Join(missing, ", "))
	}
	return err
}

// deletePattern asks, and deletes the keys that match the pattern.
func (c *deleteCommand) deletePattern(s *streams) error {
	ctx, stop := untilSignal()
	defer stop()
	if !c.Yes {
		if !isTerminal(s.in) || !isTerminal(s.err) {
			return errors.New("delete: a delete by pattern asks first, and there is no terminal: use --yes to delete without a question")
		}
		if err := c.confirm(ctx, s); err != nil {
			return err
		}
	}
	var deleted int
	err := c.runUntil(ctx, func(ctx context.Context, server *client.Client) (err error) {
		deleted, err = client.DeletePattern(ctx, server, c.Pattern)
		return err
	})
	if err != nil {
		if deleted > 0 {
			err = fmt.Errorf("%w: %d keys were deleted before", err, deleted)
		}
		return err
	}
	_, err = fmt.Fprintln(s.out, deleted)
	return quietly(err)
}

// confirm asks whether the keys are to be deleted.
func (c *deleteCommand) confirm(ctx context.Context, s *streams) error {
	var keys int
	more := ""
	err := c.runUntil(ctx, func(ctx context.Context, server *client.Client) error {
		for l, err := range client.ListLevel[json.RawMessage](ctx, server, client.ListOptions{Pattern: c.Pattern, PageSize: maxPage}) {
			switch {
			case err != nil:
				return err
			case l.Prefix == "":
				keys++
			default:
				keys += l.Keys
			}
			if l.More {
				more = "more than "
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case keys == 0:
		return fmt.Errorf("delete: no key matches %q", c.Pattern)
	}
	fmt.Fprintf(s.err, "Delete %s%d keys that match %q? [y/N] ", more, keys, c.Pattern)
	answers := make(chan string, 1)
	go func() { // it ends with the process: a read of a terminal cannot be interrupted
		line, _ := bufio.NewReader(s.in).ReadString('\n')
		answers <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case answer := <-answers:
		if answer == "y" || answer == "yes" {
			return nil
		}
		return errors.New("delete: nothing is deleted")
	case <-ctx.Done():
		fmt.Fprintln(s.err)
		return errInterrupted
	}
}
