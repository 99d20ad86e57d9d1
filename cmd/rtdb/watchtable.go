package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"rtdb/cmd/rtdb/terminal"
	"rtdb/transport/client"
)

const (
	frameTime = 100 * time.Millisecond // the shortest time between two pictures of the table

	// redrawTime is the longest one: the terminal shows the keys that a person types, until
	// the next picture.
	redrawTime = time.Second
)

// A watchTable is the table of rtdb watch --table. It takes the whole terminal.
type watchTable struct {
	terminal.Table
	feed   *feed
	server string // its address, for people
	link   connectionLog
	synced []bool // by pattern: the table has its current state
}

// showTable shows the keys and their values until ctx ends.
func (c *watchCommand) showTable(ctx context.Context, f *feed, out *os.File) (err error) {
	t := &watchTable{feed: f, synced: make([]bool, len(c.Patterns))}
	t.Title = "rtdb watch " + strings.Join(c.Patterns, " ")
	t.Status, t.Stale, t.Recent = "connecting", true, c.Recent
	t.link.print = func(text string) { t.Status = text }
	url, socket := c.address()
	t.server = url
	if socket != "" {
		t.server = socketScheme + socket
	}
	screen := terminal.NewScreen(out)
	defer func() { err = errors.Join(err, screen.Close()) }()
	if err := screen.Take(); err != nil {
		return err
	}
	events := f.start(ctx)
	defer f.stop()
	return t.draw(events, screen)
}

// draw draws the table when it has changed, and when the terminal has another size.
func (t *watchTable) draw(events <-chan feedEvent, screen *terminal.Screen) error {
	ticker := time.NewTicker(frameTime)
	defer ticker.Stop()
	suspended := make(chan os.Signal, 1)
	notifySuspend(suspended)
	defer signal.Stop(suspended)
	changed := true
	var columns, lines int // of the last picture
	var drawn time.Time
	for {
		select {
		case e, ok := <-events:
			if !ok || e.err != nil {
				return e.err
			}
			t.apply(e)
			changed = true
		case <-suspended: // Ctrl-Z
			if err := screen.Close(); err != nil {
				return err
			}
			suspend() // until the shell lets the job go on
			if err := screen.Take(); err != nil {
				return err
			}
			changed = true
		case now := <-ticker.C:
			w, h := screen.Size()
			if !changed && w == columns && h == lines && !t.Moving(now) && now.Sub(drawn) < redrawTime {
				continue
			}
			changed, columns, lines, drawn = false, w, h, now
			if err := screen.Draw(t.Lines(w, h, now)); err != nil {
				return err
			}
		}
	}
}

// apply changes the table.
func (t *watchTable) apply(e feedEvent) {
	switch {
	case e.state != nil:
		t.feed.changed(*e.state)
		t.link.changed(*e.state)
		if e.state.state == client.Open {
			t.Status = t.server
		}
	case e.change.Mark != client.NoMark:
		t.synced[e.pattern] = e.change.Mark == client.Synced
		t.Stale = slices.Contains(t.synced, false)
	case !t.feed.isRepeated(e.change):
		t.change(e.change)
	}
}

func (t *watchTable) change(change *client.Change[json.RawMessage]) {
	now := time.Now()
	at := change.At
	if at.IsZero() { // the client has found out that the key is gone
		at = now
	}
	if change.Deleted {
		t.Delete(change.Key, at, now)
		return
	}
	t.Set(change.Key, string(change.Value), at, now, !change.Snapshot)
}
