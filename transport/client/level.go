package client

import (
	"context"
	"fmt"
	"iter"
)

// A Level is one line of a list of one level: a key, or the keys below a level, summed up.
type Level[T any] struct {
	Prefix string // the beginning of the keys, up to and with a slash; empty if this is a key
	Keys   int    // how many keys begin with Prefix
	More   bool   // there are more than Keys

	Entry Entry[T] // the key, if Prefix is empty
}

type level struct {
	Prefix string `json:"prefix"`
	Keys   int    `json:"keys"`
	More   bool   `json:"more"`
}

// ListLevel is [List] for one level: it yields the keys that have no slash after
// o.Prefix, and sums up the deeper ones by their beginning, up to and with the next slash.
// Keys and sums are sorted together. A sum counts at most 10,000 keys.
func ListLevel[T any](ctx context.Context, c *Client, o ListOptions) iter.Seq2[Level[T], error] {
	return func(yield func(Level[T], error) bool) {
		for {
			q := o.query()
			q.Set("delimiter", "/")
			p, err := c.listPage(ctx, q)
			if err != nil {
				yield(Level[T]{}, fmt.Errorf("list: %w", err))
				return
			}
			for len(p.Items)+len(p.Levels) > 0 {
				l, err := takeLevel[T](p, o.Reverse)
				if !yield(l, err) || err != nil {
					return
				}
			}
			if p.Next == "" {
				return
			}
			o.After = p.Next
		}
	}
}

// takeLevel removes the first line of a page. Keys and sums are sorted each.
func takeLevel[T any](p *page, reverse bool) (Level[T], error) {
	isKey := len(p.Levels) == 0 || len(p.Items) > 0 && (p.Items[0].Key < p.Levels[0].Prefix) != reverse
	if isKey {
		e, err := decodeEntry[T](&p.Items[0])
		p.Items = p.Items[1:]
		return Level[T]{Entry: e}, err
	}
	l := p.Levels[0]
	p.Levels = p.Levels[1:]
	return Level[T]{Prefix: l.Prefix, Keys: l.Keys, More: l.More}, nil
}
