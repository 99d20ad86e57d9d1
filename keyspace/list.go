package keyspace

import (
	"context"
	"strings"
)

// A Query says which keys List returns.
type Query struct {
	Prefix  string // the keys begin with it; '+' and '#' are not allowed in it
	Pattern string // the keys match it; "" matches all keys
	After   string // Page.Next of the page before; "" is the first page
	Limit   int    // the maximum number of entries and levels in a page; at least 1
	Reverse bool   // the last key comes first

	// Levels lists one level: only the keys that have no '/' after Prefix are
	// entries. The others are summed up by their next level.
	Levels bool
}

// A Page is one page of a listing.
type Page struct {
	Entries []Entry
	Levels  []Level // with Query.Levels
	Next    string  // the end of this page, if more follows; otherwise ""
}

// A Level sums up the keys that are below one level.
type Level struct {
	Prefix string // of the keys; it ends in '/'
	Keys   int    // how many they are, up to maxSummed
	More   bool   // there are more
}

// maxSummed is the number of keys of a level that are counted. The others are skipped,
// so that the listing of a level with millions of keys costs little.
const maxSummed = 10_000

// List returns one page of keys, sorted by the bytes of their names. A key that has a
// value during the whole listing is on exactly one page, even if other keys are made and
// deleted. A listing makes a writer wait only for the time that it takes to step over a
// few hundred keys.
func (ks *Keyspace) List(ctx context.Context, q Query) (Page, error) {
	if err := q.check(); err != nil {
		return Page{}, err
	}
	l := &listing{Query: q, ctx: ctx}
	if l.Pattern == "" {
		l.Pattern = "#"
	}
	l.walk = walk{prefix: q.Prefix, after: q.After, reverse: q.Reverse}
	if literal := literalPrefix(l.Pattern); strings.HasPrefix(literal, q.Prefix) {
		l.walk.prefix = literal
	}
	if strings.HasSuffix(q.After, "/") { // the page before ended with a level
		l.walk.pass(q.After)
	}
	for again := true; again && l.err == nil; {
		again = false
		ks.index.walk(l.walk, func(r *record) bool {
			more := l.visit(r)
			again = l.skip
			l.skip = false
			return more
		})
	}
	return l.page, l.err
}

// A listing is a call of List.
type listing struct {
	Query
	ctx    context.Context
	walk   walk
	page   Page
	last   string // the key or level at the end of the page
	open   bool   // the last one is a level, to which more keys may belong
	walked int    // keys
	skip   bool   // the walk goes on behind the last level
	err    error
}

// visit adds a key to the page. It returns false to end the walk.
func (l *listing) visit(r *record) bool {
	if l.walked++; l.walked%walkStep == 0 && l.ctx.Err() != nil {
		l.err = context.Cause(l.ctx)
		return false
	}
	e := r.entry()
	if e.Value == nil || !strings.HasPrefix(r.name, l.Prefix) || !Matches(l.Pattern, r.name) {
		return true
	}
	prefix := l.levelOf(r.name)
	if l.open && prefix == l.last {
		return l.count()
	}
	if len(l.page.Entries)+len(l.page.Levels) == l.Limit {
		l.page.Next = l.last
		return false
	}
	if l.open = prefix != ""; l.open {
		l.last = prefix
		l.page.Levels = append(l.page.Levels, Level{Prefix: prefix, Keys: 1})
	} else {
		l.last = r.name
		l.page.Entries = append(l.page.Entries, e)
	}
	return true
}

// levelOf returns the prefix of the level that sums up a key, "" for an entry.
func (l *listing) levelOf(name string) string {
	if !l.Levels {
		return ""
	}
	if i := strings.IndexByte(name[len(l.Prefix):], '/'); i >= 0 {
		return name[:len(l.Prefix)+i+1]
	}
	return ""
}

// count counts one more key of the last level. It returns false to skip the others.
func (l *listing) count() bool {
	level := &l.page.Levels[len(l.page.Levels)-1]
	if level.Keys < maxSummed {
		level.Keys++
		return true
	}
	level.More, l.skip, l.open = true, true, false
	l.walk.pass(level.Prefix)
	return false
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
	after := q.After
	if q.Levels {
		after = strings.TrimSuffix(after, "/")
	}
	if after != "" {
		return CheckName(after)
	}
	return nil
}
