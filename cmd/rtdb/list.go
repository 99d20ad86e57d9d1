package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"rtdb/cmd/rtdb/terminal"
	"rtdb/transport/client"
)

// maxPage is the most keys that the server lists in one answer.
const maxPage = 1000

// A listCommand lists keys.
type listCommand struct {
	Prefix       string `arg:"" optional:"" help:"List only keys that begin with this text."`
	Pattern      string `group:"keys" placeholder:"PATTERN" help:"List only keys that match the pattern, such as devices/+/state."`
	Level        bool   `group:"keys" help:"List one level: the keys without a further / after the prefix, and how many keys begin with each longer name."`
	Limit        int    `group:"keys" default:"0" help:"Lines to print. 0 is no limit."`
	Reverse      bool   `group:"keys" help:"Begin with the last key."`
	JSON         bool   `group:"output" name:"json" xor:"form" help:"Print an object a line."`
	Keys         bool   `group:"output" xor:"form" help:"Print only the names."`
	requestFlags `group:"server"`
}

// AfterApply checks the flags.
func (c *listCommand) AfterApply() error {
	if c.Limit < 0 {
		return fmt.Errorf("--limit: expected 0 or more but got %d", c.Limit)
	}
	return c.check()
}

// Run prints a line for each key or level.
func (c *listCommand) Run(s *streams) error {
	p := c.printer(s)
	err := c.run(func(ctx context.Context, server *client.Client) error {
		left := c.Limit
		for l, err := range c.list(ctx, server) {
			if err != nil {
				return err
			}
			if err := p.print(l); err != nil {
				return err
			}
			if left--; left == 0 {
				return nil
			}
		}
		return nil
	})
	if flushed := p.flush(); err == nil {
		err = flushed
	}
	return err
}

// list yields the keys, as levels of one key each, or the levels.
func (c *listCommand) list(ctx context.Context, server *client.Client) func(func(client.Level[json.RawMessage], error) bool) {
	o := client.ListOptions{Prefix: c.Prefix, Pattern: c.Pattern, Reverse: c.Reverse, PageSize: maxPage}
	if c.Limit > 0 {
		o.PageSize = min(c.Limit, maxPage)
	}
	if c.Level {
		return client.ListLevel[json.RawMessage](ctx, server, o)
	}
	return func(yield func(client.Level[json.RawMessage], error) bool) {
		for e, err := range client.List[json.RawMessage](ctx, server, o) {
			if !yield(client.Level[json.RawMessage]{Entry: e}, err) {
				return
			}
		}
	}
}

// A listPrinter prints the lines of a list. Those of a table wait until their widths are
// known.
type listPrinter struct {
	out     *output
	format  func(client.Level[json.RawMessage]) []string // the fields of a line
	heading []string                                     // of a table; nil: the lines are not a table
	headed  bool                                         // it was printed
	rows    [][]string
	columns int // of the terminal
}

func (c *listCommand) printer(s *streams) *listPrinter {
	p := &listPrinter{out: s.output()}
	switch {
	case c.JSON:
		p.format = func(l client.Level[json.RawMessage]) []string { return []string{levelJSON(l)} }
	case c.Keys:
		p.format = func(l client.Level[json.RawMessage]) []string { return []string{l.Prefix + l.Entry.Key} }
	case p.out.terminal:
		p.heading = []string{"KEY", "WRITTEN", "EXPIRES", "VALUE"}
		p.format = tableRow
		p.columns, _ = terminal.Size(s.out.(*os.File))
	default:
		p.format = func(l client.Level[json.RawMessage]) []string {
			if l.Prefix != "" {
				return []string{l.Prefix, "", countOf(l)}
			}
			return []string{l.Entry.Key, strconv.FormatUint(l.Entry.Version, 10), string(l.Entry.Value)}
		}
	}
	return p
}

// levelJSON returns a line with --json.
func levelJSON(l client.Level[json.RawMessage]) string {
	if l.Prefix == "" {
		return lineOf(l.Entry).text()
	}
	return string(encodeJSON(struct {
		Prefix string `json:"prefix"`
		Keys   int    `json:"keys"`
		More   bool   `json:"more,omitempty"`
	}{l.Prefix, l.Keys, l.More}))
}

// countOf returns the number of keys of a level, with a + if the server has stopped counting.
func countOf(l client.Level[json.RawMessage]) string {
	if l.More {
		return strconv.Itoa(l.Keys) + "+"
	}
	return strconv.Itoa(l.Keys)
}

func tableRow(l client.Level[json.RawMessage]) []string {
	if l.Prefix != "" {
		return []string{l.Prefix, "", "", countOf(l) + " keys"}
	}
	row := []string{l.Entry.Key, "", "", string(l.Entry.Value)}
	if !l.Entry.At.IsZero() {
		row[1] = l.Entry.At.Local().Format(time.DateTime)
	}
	if l.Entry.ExpiresIn > 0 {
		row[2] = "in " + l.Entry.ExpiresIn.Round(time.Second).String()
	}
	return row
}

// print prints a line, or keeps it until there are enough of them.
func (p *listPrinter) print(l client.Level[json.RawMessage]) error {
	fields := p.format(l)
	if p.heading == nil {
		p.out.line(fields...)
		return nil
	}
	if p.rows = append(p.rows, fields); len(p.rows) < maxPage {
		return nil
	}
	return p.flush()
}

// flush prints the lines that are left.
func (p *listPrinter) flush() error {
	if len(p.rows) == 0 {
		return p.out.flush()
	}
	rows := p.rows
	if !p.headed {
		rows, p.headed = append([][]string{p.heading}, rows...), true
	}
	widths := make([]int, len(p.heading))
	for _, row := range p.rows {
		for i, field := range row {
			if field != "" {
				widths[i] = max(widths[i], terminal.Columns(terminal.Fit(field, p.columns/2)), len(p.heading[i]))
			}
		}
	}
	for _, row := range rows {
		line := ""
		for i, field := range row[:len(row)-1] {
			if widths[i] > 0 { // else the whole column is empty
				line += terminal.Pad(field, widths[i]) + "  "
			}
		}
		p.out.line(line + terminal.Fit(row[len(row)-1], max(p.columns-terminal.Columns(line), 8)))
	}
	p.rows = nil
	return p.out.flush()
}
