package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rtdb/keyspace"
)

// checkNumbering requires that versions rise within a commit and over all commits, and
// start above History.Last.
func checkNumbering(tb testing.TB, o Options) {
	s := open(tb, o, tb.TempDir())
	last := s.history.Last
	for n := range 200 {
		key := fmt.Sprint("k/", n%7)
		writes := []keyspace.Record{set(key, value(n, n))}
		for len(writes) <= n%5 {
			writes = append(writes, remove(key), set(key, value(1, n)))
		}
		for _, version := range s.commit(writes...) {
			if version <= last {
				tb.Fatalf("commit %d got version %d after version %d was given out", n, version, last)
			}
			last = version
		}
	}
}

// checkTouch requires that a touch keeps the version of its key.
func checkTouch(tb testing.TB, o Options) {
	s := open(tb, o, tb.TempDir())
	for n := range 20 {
		a, b := s.commit(set("a", value(9, n))), s.commit(set("b", value(9, n)))
		s.commit(s.touch("a", time.Now().Add(time.Hour)))
		s.commit(s.touch("a", time.Time{}))
		s.commit(s.touch("b", time.Now().Add(time.Minute)))
		if c := s.commit(set("c", value(9, n))); c[0] <= b[0] || b[0] <= a[0] {
			tb.Errorf("around touches, the versions %d, %d, %d do not rise", a[0], b[0], c[0])
		}
	}
}

// A span is a commit in the order of the begins and the ends of all commits.
type span struct {
	begun, ended int64
	versions     []uint64
}

// checkConcurrency requires that commits of many goroutines get versions of their own, and
// that a commit that begins after another one has returned gets higher ones.
func checkConcurrency(tb testing.TB, o Options) {
	const writers, commits = 64, 50
	s := open(tb, o, tb.TempDir())
	var clock atomic.Int64
	spans := make([]span, writers*commits)
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			key := fmt.Sprint("writer/", w)
			for n := range commits {
				writes := []keyspace.Record{set(key, value(20, n)), set(key, value(10, n)), remove(key)}
				p := &spans[w*commits+n]
				p.begun = clock.Add(1)
				p.versions = s.commit(writes[:1+n%3]...)
				p.ended = clock.Add(1)
			}
		})
	}
	writing.Wait()
	s.wantOrder(spans)
	if o.Durable {
		s.reopen()
	}
}

// wantOrder requires that the versions of each commit are above those of all commits that
// had ended before it began, and that no two writes have one version.
func (s *session) wantOrder(spans []span) {
	s.tb.Helper()
	byEnd := slices.SortedFunc(slices.Values(spans), func(a, b span) int { return cmp.Compare(a.ended, b.ended) })
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.begun, b.begun) })
	seen := map[uint64]bool{}
	last, next := uint64(0), 0
	for _, p := range spans {
		for ; byEnd[next].ended < p.begun; next++ {
			last = max(last, slices.Max(byEnd[next].versions))
		}
		if p.versions[0] <= last {
			s.tb.Errorf("a commit got version %d, although version %d was given out before it began", p.versions[0], last)
		}
		for _, version := range p.versions {
			if seen[version] {
				s.tb.Errorf("version %d was given out twice", version)
			}
			seen[version] = true
		}
	}
}

// checkCancel requires that a commit whose context ends returns soon, with the context's
// cause if it fails, and that the commits of other callers succeed.
func checkCancel(tb testing.TB, o Options) {
	s := open(tb, o, tb.TempDir())
	gone := errors.New("the caller is gone")
	var writing sync.WaitGroup
	for w := range 16 {
		writing.Go(func() {
			for n := range 50 {
				s.commit(set(fmt.Sprint("stays/", w), value(20, n)))
			}
		})
		writing.Go(func() {
			for n := range 50 {
				ctx, cancel := context.WithCancelCause(context.Background())
				if n%2 == 0 {
					cancel(gone)
				} else {
					time.AfterFunc(time.Duration(rand.IntN(200))*time.Microsecond, func() { cancel(gone) })
				}
				var err error
				within(tb, "Commit with a context that ended", func() {
					_, err = s.commitWith(ctx, set(fmt.Sprint("leaves/", w), value(20, n)))
				})
				if err != nil {
					wantErr(tb, "Commit with a context that ended", err, gone)
				}
				cancel(nil)
			}
		})
	}
	writing.Wait()
	s.goesOn("leaves/")
}

// A panickingContext is the context of a caller that panics within Commit, if the store
// looks at the context.
type panickingContext struct{ context.Context }

func (panickingContext) Done() <-chan struct{} { panic("a broken caller") }
func (panickingContext) Err() error            { panic("a broken caller") }
func (panickingContext) Value(any) any         { panic("a broken caller") }

// checkPanic requires that callers that panic, within Commit and after it, harm nothing.
func checkPanic(tb testing.TB, o Options) {
	s := open(tb, o, tb.TempDir())
	var writing sync.WaitGroup
	for w := range 16 {
		writing.Go(func() {
			for n := range 50 {
				s.commit(set(fmt.Sprint("stays/", w), value(20, n)))
			}
		})
		writing.Go(func() {
			for n := range 20 {
				func() {
					defer func() { _ = recover() }() // an actor does the same
					_, _ = s.commitWith(panickingContext{context.Background()}, set(fmt.Sprint("panics/", w), value(20, n)))
					panic("a broken caller")
				}()
			}
		})
	}
	writing.Wait()
	s.goesOn("panics/")
}

// goesOn requires that the store still commits after commits of keys with a prefix may have
// failed.
func (s *session) goesOn(prefix string) {
	s.tb.Helper()
	if failed := s.commit(set(prefix+"0", value(20, 1))); failed[0] <= s.history.Last {
		s.tb.Errorf("version %d after commits that failed", failed[0])
	}
	s.commit(set("stays/0", value(30, 1)))
	if !s.o.Durable {
		return
	}
	s.close()
	next := open(s.tb, s.o, s.dir)
	for key := range next.state.writes {
		if !strings.HasPrefix(key, prefix) && !strings.HasPrefix(key, "stays/") {
			s.tb.Errorf("%s was not written", short(key))
		}
	}
	// A commit that failed may have taken effect or not.
	s.state.ignore(prefix)
	next.state.ignore(prefix)
	next.wantAll(s)
}
