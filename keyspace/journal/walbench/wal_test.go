package walbench

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"

	"rtdb/keyspace"
	"rtdb/keyspace/journal"
)

// A log commits one write. Many goroutines call it at the same time.
type log interface {
	commit(key string, value []byte) error
	close() error
}

// rtdbLog is the journal without a keyspace.
type rtdbLog struct{ journal *journal.Journal }

type noState struct{}

func (noState) Apply(*keyspace.Record) error                            { return nil }
func (noState) Snapshot(func(*keyspace.Record) bool) (forgotten uint64) { return 0 }

func openRtdb(b *testing.B) log {
	j, err := journal.Open(b.TempDir(), journal.Options{})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := j.Load(noState{}); err != nil {
		b.Fatal(err)
	}
	return rtdbLog{j}
}

func (l rtdbLog) commit(key string, value []byte) error {
	return l.journal.Commit(context.Background(), []keyspace.Record{{Key: key, Value: value, Written: time.Now().UnixMilli()}})
}

func (l rtdbLog) close() error { return l.journal.Close() }

// etcdLog is etcd's log with a committer that saves waiting writes as one batch, as etcd's
// raft loop does. wal.Save makes the batch durable.
type etcdLog struct {
	wal     *wal.WAL
	mu      sync.Mutex
	waiting *batch
	wake    chan struct{}
	stop    chan struct{}
	ended   chan struct{}
}

type batch struct {
	entries []*raftpb.Entry
	done    chan struct{}
	err     error
}

func newBatch() *batch { return &batch{done: make(chan struct{})} }

func openEtcd(b *testing.B) log {
	w, err := wal.Create(zap.NewNop(), filepath.Join(b.TempDir(), "wal"), nil)
	if err != nil {
		b.Fatal(err)
	}
	l := &etcdLog{wal: w, waiting: newBatch(), wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{})}
	go l.run()
	return l
}

func (l *etcdLog) run() {
	defer close(l.ended)
	index := uint64(0)
	for {
		select {
		case <-l.wake:
		case <-l.stop:
			return
		}
		l.mu.Lock()
		g := l.waiting
		l.waiting = newBatch()
		l.mu.Unlock()
		term := uint64(1)
		for _, e := range g.entries {
			index++
			e.Index, e.Term = new(index), &term
		}
		g.err = l.wal.Save(&raftpb.HardState{Term: &term, Commit: &index}, g.entries)
		close(g.done)
	}
}

func (l *etcdLog) commit(key string, value []byte) error {
	data := make([]byte, 0, len(key)+len(value)+8)
	data = append(append(append(data, key...), 0), value...)
	l.mu.Lock()
	g := l.waiting
	g.entries = append(g.entries, &raftpb.Entry{Data: data})
	if len(g.entries) == 1 {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
	l.mu.Unlock()
	<-g.done
	return g.err
}

func (l *etcdLog) close() error {
	close(l.stop)
	<-l.ended
	return l.wal.Close()
}

// BenchmarkCommits runs both logs in turn, five rounds, and reports the medians and the
// ratio of the journal's commits a second to etcd's.
func BenchmarkCommits(b *testing.B) {
	length := time.Second
	if testing.Short() {
		length = 50 * time.Millisecond
	}
	for _, writers := range []int{1, 50, 1000} {
		b.Run(fmt.Sprintf("%d writers", writers), func(b *testing.B) {
			var ours, theirs, ratios []float64
			for b.Loop() {
				for range 5 {
					a, z := rate(b, openRtdb(b), writers, length), rate(b, openEtcd(b), writers, length)
					ours, theirs, ratios = append(ours, a), append(theirs, z), append(ratios, a/z)
				}
			}
			b.ReportMetric(median(ours), "rtdb/s")
			b.ReportMetric(median(theirs), "etcd/s")
			b.ReportMetric(median(ratios), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// rate returns the commits a second of 64-byte values to random keys of a million.
func rate(b *testing.B, l log, writers int, length time.Duration) float64 {
	keys := make([]string, 1<<16)
	for i := range keys {
		keys[i] = fmt.Sprintf("device/%06d", (i*7919)%1_000_000)
	}
	value := make([]byte, 64)
	runtime.GC()
	var commits atomic.Int64
	var writing sync.WaitGroup
	began := time.Now()
	for w := range writers {
		writing.Go(func() {
			for n := w; time.Since(began) < length; n += writers {
				if err := l.commit(keys[n%len(keys)], value); err != nil {
					b.Error(err)
					return
				}
				commits.Add(1)
			}
		})
	}
	writing.Wait()
	took := time.Since(began)
	if err := l.close(); err != nil {
		b.Fatal(err)
	}
	return float64(commits.Load()) / took.Seconds()
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}
