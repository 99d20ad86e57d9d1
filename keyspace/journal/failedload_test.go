package journal

import (
	"context"
	"errors"
	"strings"
	"testing"

	"rtdb/keyspace"
)

// A noSegments is a directory in which no segment can be begun.
type noSegments struct{ directory }

var errNoSegments = errors.New("no file can be made")

func (d noSegments) create(name string) (file, error) {
	if strings.HasPrefix(name, "0") {
		return nil, errNoSegments
	}
	return d.directory.create(name)
}

// An anyState is a state that counts the writes that are applied.
type anyState struct{ applied int }

func (s *anyState) Apply(*keyspace.Record) error                            { s.applied++; return nil }
func (s *anyState) Snapshot(func(*keyspace.Record) bool) (forgotten uint64) { return 0 }

// If Load cannot begin a segment, it changes nothing, and the journal can be closed.
func TestCloseAfterALoadThatCannotWrite(t *testing.T) {
	dir := t.TempDir()
	first, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Load(&anyState{}); err != nil {
		t.Fatal(err)
	}
	if err := first.Commit(context.Background(), []keyspace.Record{{Key: "k", Value: []byte("1")}}); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for _, broken := range []bool{true, false} {
		d := directory(osDirectory(dir))
		if broken {
			d = noSegments{d}
		}
		j, err := open(d, dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		s := &anyState{}
		if _, err = j.Load(s); broken != errors.Is(err, errNoSegments) || s.applied != 1 {
			t.Errorf("broken %v: Load: %v, applied %d; want one", broken, err, s.applied)
		}
		if err := j.Close(); err != nil {
			t.Errorf("broken %v: Close: %v", broken, err)
		}
	}
}
