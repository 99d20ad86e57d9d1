package keyspace

import (
	"context"
	"strings"
)

// A Query says which keys List returns.
type Query struct {
	Prefix  string // the keys begin with it; '+' and '#' are not allowed in it
	Pattern string // the keys match it; "" matches all keys
	After   string // the last key of the previous page; "" is the first page
	Limit   int    // the maximum number of keys in a page; at least 1
}

// List returns one page of the entries of keys, sorted by the bytes of their names,
// and whether more follow. A key that has a value during the whole listing is on
// exactly one page, even if other keys are made and deleted. A listing makes a
// writer wait only for the time that it takes to step over a few hundred keys.
func (ks *Keyspace) List(ctx context.Context, q Query) (entries []Entry, more bool, err error) {
	if err := q.check(); err != nil {
		return nil, false, err
	}
	pattern, prefix := q.Pattern, q.Prefix
	if pattern == "" {
		pattern = "#"
	}
	if literal := literalPrefix(pattern); strings.HasPrefix(literal, prefix) {
		prefix = literal
	}
	walked := 0
	ks.index.walk(q.After, prefix, func(k *key) bool {
		if walked++; walked%walkStep == 0 && ctx.Err() != nil {
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
