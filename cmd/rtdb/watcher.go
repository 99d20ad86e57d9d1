package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	// lookInterval is the time between two looks at the files. A changed file counts from
	// the second look on that finds the same contents, so after two seconds at the latest:
	// a file that is being written must not count before it is complete.
	lookInterval = time.Second

	// maxFileBytes is the maximum length of a key file.
	maxFileBytes = 1 << 20
)

// A fileSet has files that count together, such as a certificate and its private key.
type fileSet struct {
	paths []string

	// use puts the contents of the files into use, or returns why that is not possible.
	use func(texts [][]byte) error

	// report logs that the files were put into use, or why they were not.
	report func(log zerolog.Logger, err error)

	once  bool        // a file is a pipe, which can be read only once
	state fingerprint // of the files when they were last put into use, or could not be
	seen  fingerprint // at the last look
}

// A fingerprint tells apart the contents of files, or the reasons why they cannot be read.
type fingerprint [sha256.Size]byte

// open reads the files for the first time and puts them into use.
func (s *fileSet) open() error {
	for _, path := range s.paths {
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
			s.once = true
		}
	}
	texts, state, err := s.read()
	if err != nil {
		return err
	}
	s.state, s.seen = state, state
	return s.use(texts)
}

// look puts the files into use if they have changed, and have not changed since the last
// look. If now is set, it does not wait for a second look, and also logs an old error
// again.
func (s *fileSet) look(log zerolog.Logger, now bool) {
	if s.once {
		return
	}
	texts, state, err := s.read()
	settled := state == s.seen
	s.seen = state
	switch {
	case state == s.state && !(now && err != nil):
		return
	case !settled && !now:
		return
	}
	s.state = state
	if err == nil {
		err = s.use(texts)
	}
	s.report(log, err)
}

// read returns the contents of the files.
func (s *fileSet) read() (texts [][]byte, state fingerprint, err error) {
	sum := sha256.New()
	for _, path := range s.paths {
		text, err := readRegular(path, s.once)
		if err != nil {
			_, _ = io.WriteString(sum, err.Error())
			return nil, fingerprint(sum.Sum(nil)), err
		}
		part := sha256.Sum256(text)
		_, _ = sum.Write(part[:])
		texts = append(texts, text)
	}
	return texts, fingerprint(sum.Sum(nil)), nil
}

// readRegular reads a file. Unless pipes are allowed it opens only a regular file, because
// opening a pipe could block.
func readRegular(path string, pipes bool) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() && !pipes, info.IsDir():
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxFileBytes:
		return nil, fmt.Errorf("%s is longer than %d bytes", path, maxFileBytes)
	}
	return text, nil
}

// A watcher puts files into use again when they have changed. It reads them instead of
// asking the file system for changes: that works on every file system, and whether an
// editor renames, a writer truncates, or Kubernetes swaps a symbolic link.
type watcher struct {
	log zerolog.Logger

	stop    chan struct{}
	closing sync.Once
	looking sync.Mutex // held for a look, which may take long

	mu      sync.Mutex
	sets    []*fileSet
	reloads []func()
	ended   chan struct{} // closed when run ends; nil before it begins
}

// newWatcher returns a watcher without files.
func newWatcher(log zerolog.Logger) *watcher { return &watcher{log: log, stop: make(chan struct{})} }

// add watches files that are open. It must not be called after close.
func (w *watcher) add(s *fileSet) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended == nil {
		w.ended = make(chan struct{})
		go w.run()
	}
	w.sets = append(w.sets, s)
}

// onReload makes reload call f, too. f must not block.
func (w *watcher) onReload(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reloads = append(w.reloads, f)
}

// reload puts all changed files into use now, and calls the functions of onReload.
func (w *watcher) reload() {
	w.look(true)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.reloads {
		f()
	}
}

// watcherGrace is how long close waits for a look that has begun. A file system that hangs
// must not delay the end of the process.
const watcherGrace = time.Second

// close ends the watcher. It may be called more than once.
func (w *watcher) close() {
	w.closing.Do(func() { close(w.stop) })
	w.mu.Lock()
	started := w.ended
	w.mu.Unlock()
	if started == nil {
		return
	}
	timer := time.NewTimer(watcherGrace)
	defer timer.Stop()
	select {
	case <-started:
	case <-timer.C:
	}
}

func (w *watcher) run() {
	defer close(w.ended)
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			w.look(false)
		case <-w.stop:
			return
		}
	}
}

func (w *watcher) look(now bool) {
	w.looking.Lock()
	defer w.looking.Unlock()
	w.mu.Lock()
	sets := slices.Clone(w.sets)
	w.mu.Unlock()
	for _, s := range sets {
		s.look(w.log, now)
	}
}
