package main

import (
	"context"
	"encoding/json"
	"fmt"

	"rtdb/transport/client"
)

// A patchCommand changes a part of a key's value.
type patchCommand struct {
	Key          string   `arg:"" help:"Key to change, or to make."`
	Patch        argument `arg:"" help:"JSON Merge Patch (RFC 7396), such as '{\"a\":1,\"b\":null}'. - reads standard input."`
	writeFlags   `group:"write"`
	requestFlags `group:"server"`
}

// AfterApply checks the flags and the patch.
func (c *patchCommand) AfterApply() error {
	return firstError("patch", c.value().check(), c.writeFlags.check(), c.requestFlags.check())
}

func (c *patchCommand) value() *valueFlags { return &valueFlags{Value: c.Patch} }

// Run patches the key, and prints the version of the write.
func (c *patchCommand) Run(s *streams) error {
	patch, err := c.value().read(s)
	if err != nil {
		return fmt.Errorf("patch: %w", err)
	}
	return c.printVersion(s, func(ctx context.Context, server *client.Client) (uint64, error) {
		return client.Patch(ctx, server, c.Key, json.RawMessage(patch), c.options()...)
	})
}
