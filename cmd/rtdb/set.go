package main

import (
	"context"
	"fmt"

	"rtdb/transport/client"
)

// A setCommand writes a key.
type setCommand struct {
	Key          string `arg:"" help:"Key to write."`
	valueFlags   `group:"write"`
	writeFlags   `group:"write"`
	requestFlags `group:"server"`
}

// AfterApply checks the flags and the value.
func (c *setCommand) AfterApply() error {
	return firstError("set", c.valueFlags.check(), c.writeFlags.check(), c.requestFlags.check())
}

// Run writes the key, and prints the version of the write.
func (c *setCommand) Run(s *streams) error {
	value, err := c.read(s)
	if err != nil {
		return fmt.Errorf("set: %w", err)
	}
	return c.printVersion(s, func(ctx context.Context, server *client.Client) (uint64, error) {
		return client.Set(ctx, server, c.Key, value, c.options()...)
	})
}
