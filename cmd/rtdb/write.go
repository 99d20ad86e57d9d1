package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"rtdb/transport/client"
)

// writeFlags are the condition of a write, and the time to live of the key.
type writeFlags struct {
	IfVersion *uint64       `group:"write" placeholder:"VERSION" help:"Write only if the key has this version. 0 means that there must be no such key."`
	TTL       time.Duration `group:"write" name:"ttl" placeholder:"DURATION" help:"Delete the key after this time, such as 90s or 24h, unless it is written again."`
}

func (f *writeFlags) check() error {
	if f.TTL < 0 {
		return fmt.Errorf("--ttl: expected a duration above 0 but got %v", f.TTL)
	}
	return nil
}

func (f *writeFlags) options() (all []client.WriteOption) {
	if f.IfVersion != nil {
		all = append(all, client.IfVersion(*f.IfVersion))
	}
	if f.TTL > 0 {
		all = append(all, client.TTL(f.TTL))
	}
	return all
}

// printVersion makes a write, and prints its version.
func (f *requestFlags) printVersion(s *streams, write func(context.Context, *client.Client) (uint64, error)) error {
	return f.run(func(ctx context.Context, server *client.Client) error {
		version, err := write(ctx, server)
		if err != nil {
			return err
		}
		out := s.output()
		out.line(strconv.FormatUint(version, 10))
		return out.flush()
	})
}

// firstError returns the first error of a command's arguments, with the command's name.
func firstError(command string, all ...error) error {
	for _, err := range all {
		if err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
	}
	return nil
}
