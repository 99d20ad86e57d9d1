package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const lockName = "lock"

var errLocked = errors.New("journal: locked")

// A LockedError means that another process uses the directory.
type LockedError struct {
	Dir string
	PID int // of the other process; 0: not known
}

func (e *LockedError) Error() string {
	by := "another process"
	if e.PID != 0 {
		by = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("journal: %s uses the directory %s: end it, or choose another directory", by, e.Dir)
}

// lockDirectory locks a directory for this process, with a file that has the process's
// number. It changes nothing in a directory that is not a store's.
func lockDirectory(dir string) (*os.File, error) {
	var foreign *ForeignError
	if _, err := readLayout(osDirectory(dir), dir); errors.As(err, &foreign) {
		return nil, foreign
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, fmt.Errorf("journal: cannot write to the directory: %w", err)
	}
	if err := lockOrName(f, dir); err != nil {
		return nil, err
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0) // it only helps a person
	}
	return f, nil
}

// lockOrName locks the lock file of a directory, or closes it and names the process that has
// locked it.
func lockOrName(f *os.File, dir string) error {
	switch err := lockFile(f); {
	case err == errLocked:
		var text [32]byte
		n, _ := f.ReadAt(text[:], 0)
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text[:n])))
		return errors.Join(&LockedError{dir, pid}, f.Close())
	case err != nil:
		return errors.Join(fmt.Errorf("journal: cannot lock the directory %s: %w", dir, err), f.Close())
	}
	return nil
}

// lockForReading locks the directory of a store that exists, and changes nothing in it. If
// it has no lock file, no process uses it.
func lockForReading(dir string) (unlock func() error, err error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("journal: cannot find the directory of a store: %w", err)
	}
	f, err := os.Open(filepath.Join(dir, lockName))
	if isAbsent(err) {
		return func() error { return nil }, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journal: cannot read the directory: %w", err)
	}
	if err := lockOrName(f, dir); err != nil {
		return nil, err
	}
	return f.Close, nil
}

// lockExisting locks the directory of a store that exists.
func lockExisting(dir string) (unlock func() error, err error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("journal: cannot find the directory of a store: %w", err)
	}
	lock, err := lockDirectory(dir)
	if err != nil {
		return nil, err
	}
	return lock.Close, nil
}
