package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"rtdb/transport/client"
)

// A watchCommand prints the changes of keys and the messages of topics.
type watchCommand struct {
	Patterns    []string `arg:"" optional:"" name:"pattern" help:"Keys to follow, such as devices/# or devices/+/state."`
	Topic       []string `group:"keys" sep:"none" placeholder:"TOPIC" help:"Topic to follow, or a pattern of topics. May be repeated."`
	Snapshot    bool     `group:"keys" default:"true" help:"Begin with the current values of the keys."`
	Limit       int      `group:"output" default:"0" help:"Lines to print before the command ends. 0 is no limit."`
	JSON        bool     `group:"output" name:"json" xor:"form" help:"Print an object a line."`
	Table       bool     `group:"output" xor:"form" help:"Show a table of the keys that follows the changes."`
	Recent      bool     `group:"output" help:"In the table, show the newest changes first."`
	clientFlags `group:"server"`
}

// AfterApply checks the flags.
func (c *watchCommand) AfterApply() error {
	switch {
	case len(c.Patterns)+len(c.Topic) == 0:
		return errors.New("watch: name keys to follow, such as 'devices/#' or '#' for all, or use --topic")
	case c.Table && len(c.Topic) > 0:
		return errors.New("watch: --table shows keys: leave out --topic")
	case c.Table && !c.Snapshot:
		return errors.New("watch: --table begins with the current values: leave out --snapshot=false")
	case c.Table && c.Limit != 0:
		return errors.New("watch: --table prints no lines: leave out --limit")
	case c.Limit < 0:
		return fmt.Errorf("--limit: expected 0 or more but got %d", c.Limit)
	case c.Recent && !c.Table:
		return errors.New("watch: --recent needs --table")
	}
	for _, name := range slices.Concat(c.Patterns, c.Topic) {
		if strings.HasSuffix(name, "/") {
			return fmt.Errorf("watch: %q is not a pattern: for all names below it use '%s#'", name, name)
		}
	}
	return c.checkServer()
}

// Run prints changes and messages until a signal comes.
func (c *watchCommand) Run(s *streams) error {
	ctx, stop := untilSignal()
	defer stop()
	f := &feed{server: &c.clientFlags, patterns: c.Patterns, topics: c.Topic, snapshot: c.Snapshot}
	var err error
	if c.Table {
		out, ok := s.out.(*os.File)
		if !ok || !isTerminal(out) {
			return errors.New("watch: --table needs a terminal: leave it out, or use --json")
		}
		err = c.showTable(ctx, f, out)
	} else {
		err = c.printLines(ctx, f, s)
	}
	if err == nil || errors.Is(err, errLogged) {
		return err
	}
	return explainClient(err)
}

// printLines prints a line for each event, and the state of the connection to standard
// error. It flushes the lines when no event waits.
func (c *watchCommand) printLines(ctx context.Context, f *feed, s *streams) error {
	events := f.start(ctx)
	defer f.stop()
	out := s.output()
	link := connectionLog{print: func(text string) { s.note("watch: " + text) }}
	for printed := 0; c.Limit == 0 || printed < c.Limit; {
		var e feedEvent
		ok := true
		select {
		case e, ok = <-events:
		default:
			if err := out.flush(); err != nil {
				return err
			}
			e, ok = <-events
		}
		switch {
		case !ok:
			return out.flush()
		case e.err != nil:
			return errors.Join(e.err, out.flush())
		case e.state != nil:
			f.changed(*e.state)
			link.changed(*e.state)
		case e.message != nil:
			out.line(c.message(e.message, out.terminal)...)
			printed++
		case e.change.Mark == client.NoMark && !f.isRepeated(e.change):
			out.line(c.change(e.change, out.terminal)...)
			printed++
		}
	}
	return out.flush()
}

// change returns the fields of a line about a key.
func (c *watchCommand) change(change *client.Change[json.RawMessage], local bool) []string {
	if c.JSON {
		l := entryLine{
			Key: change.Key, Value: change.Value, Version: change.Version, At: unixMilli(change.At),
			Deleted: change.Deleted, Snapshot: change.Snapshot,
		}
		return []string{l.text()}
	}
	at := change.At
	if at.IsZero() { // the client has found out that the key is gone
		at = time.Now()
	}
	value := string(change.Value)
	if change.Deleted {
		value = "deleted"
	}
	return []string{timestamp(at, local), change.Key, value}
}

// message returns the fields of a line about a topic.
func (c *watchCommand) message(m *client.Message[json.RawMessage], local bool) []string {
	var missed any // of entryLine
	value := string(m.Value)
	switch {
	case m.Missed > 0:
		missed, value = m.Missed, fmt.Sprintf("missed %d", m.Missed)
	case m.Missed < 0:
		missed, value = true, "missed some"
	}
	if c.JSON {
		l := entryLine{Topic: m.Topic, Value: m.Value, Missed: missed}
		return []string{l.text()}
	}
	return []string{timestamp(time.Now(), local), m.Topic, value}
}

// timestamp returns the time of day for a person, or RFC 3339 for a program.
func timestamp(t time.Time, local bool) string {
	if local {
		return t.Local().Format("15:04:05.000")
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// A connectionLog tells a person when the connection is lost and when it is back. It says
// the same reason once.
type connectionLog struct {
	print func(text string)
	last  string // reason; "": the connection is up, or was never lost
}

func (l *connectionLog) changed(s stateChange) {
	switch s.state {
	case client.Waiting:
		if text := "no connection: " + explainClient(s.reason).Error() + ": trying again"; text != l.last {
			l.last = text
			l.print(text)
		}
	case client.Open:
		if l.last != "" {
			l.last = ""
			l.print("connected")
		}
	}
}
