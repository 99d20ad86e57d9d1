package keyspace

import (
	"context"
	"strings"
)

// A Query says which keys List returns.
type Query struct {
	Prefix  string // what the keys begin with, taken as it is
	Pattern string // what they match; "" is all
	After   string // the key that the page before ended with; "" is the first page
	Limit   int    // how many at most; at least 1
}

// List returns what keys hold, sorted by name, byte by byte, and whether more
// follow. A key that has a value throughout is on one page, once, whatever is
// written meanwhile. Writers never wait for a listing for longer than it takes
// to step over a few hundred keys.
func (ks *Keyspace) List(ctx context.Context, q Query) (entries []Entry, more bool, err error) {
	if err := q.check(); err != nil {
		return nil, false, err
	}
	pattern, prefix := q.Pattern, q.Prefix
	if pattern == "" {
		pattern = "#"
	}
	if from := literal(pattern); strings.HasPrefix(from, prefix) {
		prefix = from
	}
	looked := 0
	ks.index.walk(q.After, prefix, func(k *key) bool {
		if looked++; looked%walkStep == 0 && ctx.Err() != nil {
			err = context.Cause(ctx)
			return false
		}
		s := k.load()
		if s.value == nil || !strings.HasPrefix(k.name, q.Prefix) || !Matches(pattern, k.name) {
			return true
		}
		if len(entries) == q.Limit {
			more = true
			return false
		}
		entries = append(entries, Entry{Key: k.name, Value: s.value, Version: s.version})
		return true
	})
	return entries, more, err
}

func (q *Query) check() error {
	if err := checkPrefix(q.Prefix); err != nil {
		return err
	}
	if q.Pattern != "" {
		if err := CheckPattern(q.Pattern); err != nil {
			return err
		}
	}
	if q.After != "" {
		return CheckName(q.After)
	}
	return nil
}
