package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"rtdb/transport/client"
)

// A getCommand prints the values of keys.
type getCommand struct {
	Keys         []string `arg:"" name:"key" help:"Keys to read."`
	JSON         bool     `group:"output" name:"json" help:"Print an object with the key, the version and the time, in place of the value."`
	requestFlags `group:"server"`
}

// AfterApply checks the flags.
func (c *getCommand) AfterApply() error { return c.check() }

// Run prints a line for each key that exists, and returns an error if one does not.
func (c *getCommand) Run(s *streams) error {
	var missing []string
	out := s.output()
	err := c.run(func(ctx context.Context, server *client.Client) error {
		for _, key := range c.Keys {
			e, ok, err := client.Get[json.RawMessage](ctx, server, key)
			switch {
			case err != nil:
				return err
			case !ok:
				missing = append(missing, fmt.Sprintf("%q", key))
			case c.JSON:
				out.line(lineOf(e).text())
			default:
				out.line(string(e.Value))
			}
		}
		return nil
	})
	if flushed := out.flush(); err == nil {
		err = flushed
	}
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("get: there is no key %s", strings.Join(missing, ", "))
	}
	return err
}
