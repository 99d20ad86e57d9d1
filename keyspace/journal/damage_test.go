package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/keyspace"
	"rtdb/transport/transporttest"
)

// A sample is a small store with a snapshot, several segments and a long value.
type sample struct {
	files  map[string][]byte
	keys   map[string]keyspace.Record
	last   uint64
	epoch  string
	newest string // the name of its newest segment
}

// A stop is how the process of a sample ended.
type stop int

const (
	closed     stop = iota
	killed          // after the last write was answered
	killedIdle      // some time after that
)

func newSample(t *testing.T, how stop) (s sample) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		j, state, _, err := load(d, Always, 1)
		if err != nil {
			t.Fatal(err)
		}
		j.limits = limits{segment: 400, snapshot: 1 << 30, step: 100}
		for n := range 34 {
			w := keyspace.Record{Key: fmt.Sprintf("k/%d", n%11), Value: fmt.Appendf(nil, "value %d", n), Written: int64(n)}
			switch {
			case n == 17:
				if _, err := j.writeSnapshot(); err != nil {
					t.Fatal(err)
				}
			case n == 29:
				w.Value = bytes.Repeat([]byte("long "), 850)
			case n == 24:
				w.Touch, w.Expires = true, time.UnixMilli(1e12)
				w.Version = state.keys[w.Key].Version
			case n%7 == 3:
				w.Value = nil
			case n%5 == 4:
				w.Expires = time.UnixMilli(1e12 + int64(n))
			}
			writes := []keyspace.Record{w}
			if err := j.Commit(context.Background(), writes); err != nil {
				t.Fatal(err)
			}
			_ = state.Apply(&writes[0])
		}
		if how == killedIdle {
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if how != closed {
			d.start()
		}
		if err := j.Close(); (err == nil) != (how == closed) {
			t.Fatal(err)
		}
		s = sample{files: d.files(), keys: state.keys, last: j.next - 1, epoch: j.identity.Epoch, newest: segmentName(j.active.Load().header.number)}
	})
	return s
}

// An attack changes the files of a sample.
type attack struct {
	name  string
	files []string         // that it changes; the outcome may name one of them, or its successor
	at    int              // the first byte that it changes; -1: not known
	do    func(fs fileSet) // changes a copy of the files
}

type fileSet = map[string][]byte

// attacks calls try with every attack on a sample. other is the same sample of another store.
func attacks(s, other sample, try func(a attack)) {
	names := slices.Sorted(maps.Keys(s.files))
	step := 1
	if transporttest.UnderRace || testing.Short() {
		step = 17
	}
	for i, name := range names {
		contents := s.files[name]
		for at := 0; at < len(contents); at += step {
			try(attack{fmt.Sprintf("%s: a flip at %d", name, at), []string{name}, at, func(fs fileSet) { fs[name][at] ^= 1 << (at % 8) }})
			try(attack{fmt.Sprintf("%s: cut at %d", name, at), []string{name}, at, func(fs fileSet) { fs[name] = fs[name][:at] }})
		}
		for _, page := range []int{512, 4096} {
			for at := 0; at < len(contents); at += page {
				try(attack{fmt.Sprintf("%s: %d zeros at %d", name, page, at), []string{name}, at, func(fs fileSet) {
					clear(fs[name][at:min(at+page, len(contents))])
				}})
			}
		}
		try(attack{name + ": missing", []string{name}, -1, func(fs fileSet) { delete(fs, name) }})
		try(attack{name + ": something follows", []string{name}, -1, func(fs fileSet) { fs[name] = append(fs[name], 0) }})
		try(attack{name + ": of another store", []string{name}, -1, func(fs fileSet) { fs[name] = other.files[name] }})
		for _, with := range names[:i] {
			try(attack{name + ": swapped with " + with, []string{name, with}, -1, func(fs fileSet) { fs[name], fs[with] = fs[with], fs[name] }})
		}
	}
}

// names reports whether an outcome of the attack may name a file.
func (a attack) names(path string) bool {
	name := strings.TrimPrefix(path, "/data/")
	for _, f := range a.files {
		number, isSegment := parseName(f, segmentSuffix)
		if name == f || f == identityName || isSegment && name == segmentName(number+1) {
			return true
		}
	}
	return false
}

// run attacks a sample and opens it. It returns whether writes are lost, silently, and the
// files.
func (a attack) run(t *testing.T, s sample) (lost bool, files fileSet) {
	files = fileSet{}
	for name, contents := range s.files {
		files[name] = slices.Clone(contents)
	}
	a.do(files)
	d := diskOf(files)
	j, state, history, err := load(d, Always, 2)
	if err != nil {
		a.checkError(t, d, err)
		return false, files
	}
	defer j.Close()
	if isUnknown := files[identityName] == nil; history.Epoch != s.epoch && !isUnknown {
		t.Errorf("%s: opened with epoch %s, and not %s", a.name, history.Epoch, s.epoch)
	}
	if !reflect.DeepEqual(state.keys, s.keys) {
		return true, files
	}
	if history.Last < s.last {
		t.Errorf("%s: opened with version %d, and not %d", a.name, history.Last, s.last)
	}
	return false, files
}

func (a attack) checkError(t *testing.T, d *disk, err error) {
	var damage *DamageError
	if !errors.As(err, &damage) {
		t.Errorf("%s: %v", a.name, err)
		return
	}
	if !a.names(damage.File) || damage.Offset < 0 || damage.Reason == "" || strings.HasSuffix(damage.File, a.files[0]) && a.at >= 0 && damage.Offset > int64(a.at) {
		t.Errorf("%s: %v", a.name, err)
	}
	if d.ops > 0 {
		t.Errorf("%s: %d operations change the files of a store that is damaged", a.name, d.ops)
	}
}

// Every damage of a store that was closed is found, or changes nothing.
func TestDamageOfAClosedStore(t *testing.T) {
	t.Parallel()
	s, all := newSample(t, closed), 0
	attacks(s, newSample(t, closed), func(a attack) {
		all++
		if lost, _ := a.run(t, s); lost {
			t.Errorf("%s: writes are lost, silently", a.name)
		}
	})
	t.Logf("%d attacks on %d files", all, len(s.files))
}

// If a process was killed, the newest writes can be lost silently: they look as if they
// were never completed. Each such loss is behind everything of which the rest of the file
// says that it was durable.
func TestDamageOfAKilledStore(t *testing.T) {
	for how, name := range map[stop]string{killed: "at once", killedIdle: "when idle"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSample(t, how)
			all, cuts, others := 0, 0, map[string]int{}
			attacks(s, newSample(t, how), func(a attack) {
				all++
				lost, files := a.run(t, s)
				if !lost {
					return
				}
				if a.files[0] != s.newest || len(a.files) > 1 {
					t.Errorf("%s: writes are lost, silently", a.name)
					return
				}
				whole, claim := lastClaim(files[s.newest])
				if claim > whole {
					t.Errorf("%s: writes behind offset %d are lost, although %d was durable", a.name, whole, claim)
				}
				if strings.Contains(a.name, "cut at") {
					cuts++
				} else {
					others[a.name[:strings.LastIndex(a.name, " at")]]++
				}
			})
			t.Logf("%d attacks on %d files; ambiguous: %d cuts of the newest segment, which has %d bytes, and %v", all, len(s.files), cuts, len(s.files[s.newest]), others)
			if flips := others[s.newest+": a flip"]; how == killed && flips == 0 || how == killedIdle && flips > 0 {
				t.Errorf("%d flips lose writes", flips)
			}
		})
	}
}

// lastClaim returns the end of the whole frames at the beginning of a segment, and the
// highest offset that any of its frames says was durable.
func lastClaim(b []byte) (whole, claim uint64) {
	h, err := parseHeader(b, segmentMagic, "")
	if err != nil {
		return 0, 0
	}
	whole = headerSize
	for at := uint64(headerSize); at < uint64(len(b)); at++ {
		f, ok := parseFrameHeader(b[at:], h.salt, at)
		if !ok {
			continue
		}
		claim = max(claim, f.durable)
		end := at + frameHeaderSize + uint64(f.length)
		if at == whole && end <= uint64(len(b)) && checksum(b[at+frameHeaderSize:end]) == f.payload {
			whole = end
		}
	}
	return whole, claim
}
