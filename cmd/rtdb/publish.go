package main

import (
	"context"
	"fmt"

	"rtdb/transport/client"
)

// A publishCommand sends a message to a topic.
type publishCommand struct {
	Topic        string `arg:"" help:"Topic to send to."`
	valueFlags   `group:"write"`
	requestFlags `group:"server"`
}

// AfterApply checks the flags and the value.
func (c *publishCommand) AfterApply() error {
	return firstError("publish", c.valueFlags.check(), c.requestFlags.check())
}

// Run publishes the value.
func (c *publishCommand) Run(s *streams) error {
	value, err := c.read(s)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return c.run(func(ctx context.Context, server *client.Client) error {
		return client.Publish(ctx, server, c.Topic, value)
	})
}
