package journal

import (
	"errors"
	"path/filepath"
)

// A Report describes the contents of a store.
type Report struct {
	Files   int
	Bytes   int64  // of the files
	Writes  int64  // that the files hold
	Keys    int    // that have a value
	Deletes int    // that are remembered
	Last    uint64 // the highest version
	Epoch   string // of the history; "" if it is not known

	// Torn is the number of bytes at the end of the log that were never acknowledged. The
	// next start cuts them off.
	Torn int64

	// Closed means that the store was closed, or not written to after it was opened. If it is
	// false, a file that was cut short cannot be told from one that the end of the process
	// left, so the newest writes may be lost.
	Closed bool
}

// Check reads every file of the store in a directory, and changes nothing. The errors
// include LockedError, if a server uses the directory, ForeignError and DamageError.
func Check(dir string) (r Report, err error) {
	unlock, err := lockForReading(dir)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	d := osDirectory(dir)
	l, err := readLayout(d, dir)
	if err != nil {
		return r, err
	}
	if l.fresh {
		return r, &ForeignError{Dir: dir}
	}
	i, err := readIdentity(d, filepath.Join(dir, identityName))
	if err != nil && !isAbsent(err) {
		return r, err
	}
	store, _ := i.storeID() // zero if it is not known
	c := contents{}
	p := replay{directory: d, layout: l, store: store, apply: c.Apply}
	if err := p.run(); err != nil {
		return r, err
	}
	r = Report{
		Files: len(l.segments), Bytes: l.bytes, Writes: p.records, Last: max(p.last, i.From), Epoch: i.Epoch,
		Torn: p.tail.torn, Closed: (p.before == nil || p.before.sealed) && p.tail.whole.length == headerSize && p.tail.torn == 0,
	}
	if l.snapshot != 0 {
		r.Files++
	}
	r.Keys, r.Deletes = c.count()
	return r, nil
}
