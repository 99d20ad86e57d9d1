package journal

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// sumsName is the last file of a backup. It has the other files' checksums in the format of
// sha256sum.
const sumsName = "SHA256SUMS"

// Backup writes a copy of the store as a tar archive. The copy has every write whose Commit
// returned before the call of Backup, and perhaps later ones. Backup delays no writer.
// If ctx ends, Backup returns its cause; the archive then has no SHA256SUMS.
func (j *Journal) Backup(ctx context.Context, w io.Writer) error {
	names, newest, unpin, err := j.pinFiles()
	if err != nil {
		return err
	}
	defer j.removeUseless()
	defer unpin()
	b := backup{ctx: ctx, dir: osDirectory(j.dir), tar: tar.NewWriter(w), now: time.Now()}
	b.add(identityName, -1)
	for _, name := range names {
		b.add(name, -1)
	}
	// In the copy the newest segment is empty, as in a store that was closed.
	b.add(newest, headerSize)
	b.addSums()
	if b.err == nil {
		b.err = b.tar.Close()
	}
	return b.err
}

// pinFiles begins a segment, and keeps the files of the store as it is then: the names of
// those that are complete, and of the newest segment.
func (j *Journal) pinFiles() (names []string, newest string, unpin func(), err error) {
	k := &j.kept
	k.mu.Lock() // so that no file is removed meanwhile; the committer does not need the lock
	defer k.mu.Unlock()
	if err := j.requestRotation(); err != nil {
		return nil, "", nil, err
	}
	if k.snapshot != 0 {
		names = append(names, snapshotName(k.snapshot))
	}
	number := max(k.snapshot, 1)
	for last := j.active.Load().header.number; number < last; number++ {
		names = append(names, segmentName(number))
	}
	newest = segmentName(number)
	return names, newest, k.pinLocked(append(slices.Clone(names), newest)), nil
}

// A backup is an archive that is being written.
type backup struct {
	ctx  context.Context
	dir  osDirectory
	tar  *tar.Writer
	now  time.Time
	sums strings.Builder
	err  error
}

// add adds the first bytes of a file, or all of them if length is -1.
func (b *backup) add(name string, length int64) {
	if b.err != nil {
		return
	}
	f, err := os.Open(b.dir.path(name))
	if err != nil {
		b.err = err
		return
	}
	defer f.Close()
	if length < 0 {
		info, err := f.Stat()
		if err != nil {
			b.err = err
			return
		}
		length = info.Size()
	}
	if b.err = b.begin(name, length); b.err != nil {
		return
	}
	sum := sha256.New()
	_, b.err = io.CopyN(io.MultiWriter(b.tar, sum), &contextReader{b.ctx, f}, length)
	fmt.Fprintf(&b.sums, "%x  %s\n", sum.Sum(nil), name)
}

func (b *backup) begin(name string, length int64) error {
	return b.tar.WriteHeader(&tar.Header{Name: name, Mode: fileMode, Size: length, ModTime: b.now, Format: tar.FormatPAX})
}

func (b *backup) addSums() {
	if b.err == nil {
		b.err = b.begin(sumsName, int64(b.sums.Len()))
	}
	if b.err == nil {
		_, b.err = io.WriteString(b.tar, b.sums.String())
	}
}

// A contextReader fails when its context ends.
type contextReader struct {
	ctx  context.Context
	from io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.from.Read(p)
}

// Restore makes a store of an archive of Backup, in a directory that is empty or does not
// exist. The store has a history of its own: clients of the store that was copied get
// all values again. If Restore fails, it removes the files that it made. The errors include
// LockedError, ForeignError and DamageError.
func Restore(dir string, from io.Reader) (r Report, err error) {
	if err := makeDirectory(dir); err != nil {
		return r, err
	}
	lock, err := lockDirectory(dir)
	if err != nil {
		return r, err
	}
	x := restore{dir: osDirectory(dir), sums: map[string]string{}}
	err = x.run(from)
	if err != nil {
		slices.Reverse(x.made) // the mark goes last
		_ = removeUseless(x.dir, x.made)
	}
	if err = errors.Join(err, lock.Close()); err != nil {
		return r, err
	}
	return Check(dir)
}

// A restore is an archive that is being read.
type restore struct {
	dir  osDirectory
	sums map[string]string // of the files, in hex
	made []string
}

func (x *restore) run(from io.Reader) error {
	switch l, err := readLayout(x.dir, string(x.dir)); {
	case err != nil:
		return err
	case !l.fresh:
		return fmt.Errorf("journal: the directory %s has a store already: choose an empty directory", string(x.dir))
	}
	if err := x.mark(); err != nil {
		return err
	}
	archive := tar.NewReader(from)
	for {
		h, err := archive.Next()
		if err != nil {
			return fmt.Errorf("journal: the archive is not a whole backup, because no %s ends it: make the backup again: %w", sumsName, err)
		}
		if h.Name == sumsName {
			if err := x.checkSums(archive); err != nil {
				return err
			}
			break
		}
		if h.Typeflag != tar.TypeReg || !isFile(h.Name) || isOwn(h.Name) || x.sums[h.Name] != "" {
			return fmt.Errorf("journal: the archive has %q, which is not a file of a backup", h.Name)
		}
		if err := x.extract(h.Name, archive); err != nil {
			return err
		}
	}
	return x.complete()
}

// restoringName is a file that is there while a store is restored. Without it, a segment
// of which only the beginning was restored would be taken for one with a torn end.
const restoringName = "restoring"

func (x *restore) mark() error {
	f, err := x.dir.create(restoringName)
	if err != nil {
		return err
	}
	x.made = append(x.made, restoringName)
	return errors.Join(f.Close(), x.dir.sync())
}

// extract writes a file. The identity does not get its name, because it is that of the
// history of the copied store.
func (x *restore) extract(name string, from io.Reader) error {
	target := name
	if name == identityName {
		target += temporarySuffix
	}
	f, err := x.dir.create(target)
	if err != nil {
		return err
	}
	x.made = append(x.made, target)
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, sum), from)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("journal: the archive is not whole: it ends in %s, so make the backup again: %w", name, err)
	}
	if err == nil {
		err = f.Sync()
	}
	x.sums[name] = fmt.Sprintf("%x", sum.Sum(nil))
	return errors.Join(err, f.Close())
}

// maxSums is more than the length of a SHA256SUMS.
const maxSums = 16 << 20

func (x *restore) checkSums(from io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(from, maxSums))
	if err != nil {
		return err
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if x.sums[name] != sum {
			return fmt.Errorf("journal: the file %q of the archive does not match its checksum: make the backup again", name)
		}
		n++
	}
	if n != len(x.sums) || n == 0 {
		return fmt.Errorf("journal: the archive has %d files, but %s names %d", len(x.sums), sumsName, n)
	}
	return nil
}

// complete gives the store its identity, and then removes the mark.
func (x *restore) complete() error {
	i, err := readIdentity(x.dir, filepath.Join(string(x.dir), identityName+temporarySuffix))
	if isAbsent(err) {
		return fmt.Errorf("journal: the archive has no %s: %w", identityName, err)
	}
	if err != nil {
		return err
	}
	store, err := i.storeID()
	if err != nil {
		return err
	}
	x.made = append(x.made, identityName)
	if err := i.succeed(store).write(x.dir); err != nil {
		return err
	}
	return errors.Join(x.dir.remove(restoringName), x.dir.sync())
}
