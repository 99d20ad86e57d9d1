package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// A layout describes the files of a store that are in its directory.
type layout struct {
	dir      string
	fresh    bool     // the directory has no file of a store
	snapshot uint64   // the number of the newest snapshot; 0 if there is no snapshot
	segments []uint64 // the numbers of the segments that are not in the snapshot, in order
	failed   bool     // the store failed, so visible writes may be lost that were not durable
	useless  []string // files that are not needed, because the snapshot replaces them or they are not complete
	bytes    int64    // of the snapshot and the segments
	logBytes int64    // of the segments
}

func (l *layout) path(name string) string { return filepath.Join(l.dir, name) }

// A ForeignError means that a directory has files, but not those of a store, or that it
// has no store although the caller needs one.
type ForeignError struct {
	Dir  string
	File string // one of the files; "" if there is no store
}

func (e *ForeignError) Error() string {
	if e.File == "" {
		return fmt.Sprintf("journal: the directory %s has no store: name the directory of a store", e.Dir)
	}
	return fmt.Sprintf("journal: the directory %s is not a store's, because it has the file %s and no %s: choose an empty directory", e.Dir, e.File, identityName)
}

// readLayout finds the files of a store, and checks that none is missing.
func readLayout(d directory, dir string) (*layout, error) {
	l := &layout{dir: dir}
	infos, err := d.list()
	if err != nil {
		return nil, err
	}
	var segments, snapshots []uint64
	sizes := map[string]int64{}
	identified, foreign := false, ""
	for _, info := range infos {
		name := info.Name()
		sizes[name] = info.Size()
		segment, isSegment := parseName(name, segmentSuffix)
		snapshot, isSnapshot := parseName(name, snapshotSuffix)
		switch {
		case name == identityName:
			identified = true
		case name == repairedName:
			return nil, fmt.Errorf("journal: a repair of %s was interrupted: run rtdb repair again", dir)
		case name == failedName:
			l.failed = true
		case name == restoringName:
			return nil, fmt.Errorf("journal: a restore to %s was interrupted: remove its files, and run rtdb restore again", dir)
		case isSegment:
			segments = append(segments, segment)
		case isSnapshot:
			snapshots = append(snapshots, snapshot)
		case isOwn(name):
			l.useless = append(l.useless, name)
		case name != lockName && name != "lost+found" && name[0] != '.':
			foreign = name
		}
	}
	l.fresh = !identified && len(segments) == 0 && len(snapshots) == 0
	if l.fresh {
		if foreign != "" {
			return nil, &ForeignError{dir, foreign}
		}
		return l, nil
	}
	slices.Sort(segments)
	slices.Sort(snapshots)
	if n := len(snapshots); n > 0 {
		l.snapshot = snapshots[n-1]
		l.bytes = sizes[snapshotName(l.snapshot)]
		for _, old := range snapshots[:n-1] {
			l.useless = append(l.useless, snapshotName(old))
		}
	}
	first := max(l.snapshot, 1)
	for _, number := range segments {
		if number < first {
			l.useless = append(l.useless, segmentName(number))
			continue
		}
		l.segments = append(l.segments, number)
		l.logBytes += sizes[segmentName(number)]
	}
	l.bytes += l.logBytes
	return l, l.checkNumbers(first)
}

// isMissing is the reason of a DamageError whose file does not exist.
const isMissing = "the file is missing"

// checkNumbers returns an error if a segment is missing.
func (l *layout) checkNumbers(first uint64) error {
	if len(l.segments) == 0 || l.snapshot == 0 && l.segments[0] != 1 {
		missing := segmentName(first)
		if len(l.segments) > 0 {
			missing = snapshotName(l.segments[0])
		}
		return &DamageError{l.path(missing), 0, isMissing}
	}
	for i, number := range l.segments {
		if want := first + uint64(i); number != want {
			return &DamageError{l.path(segmentName(want)), 0, isMissing}
		}
	}
	return nil
}

// isOwn reports whether a file is one that the journal began and did not complete.
func isOwn(name string) bool {
	whole, ok := strings.CutSuffix(name, temporarySuffix)
	if !ok {
		return false
	}
	_, isSegment := parseName(whole, segmentSuffix)
	_, isSnapshot := parseName(whole, snapshotSuffix)
	return isSegment || isSnapshot || whole == identityName
}

// removeUseless removes files that are not needed. If one cannot be removed, it goes on with
// the others, and returns all errors.
func removeUseless(d directory, names []string) error {
	var all error
	for _, name := range names {
		if err := d.remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			all = errors.Join(all, err)
		}
	}
	return all
}

// failedName is a file that a store leaves if it failed before visible writes were durable.
const failedName = "failed"

// repairedName is the directory in which a repair makes the new store.
const repairedName = "repaired"
