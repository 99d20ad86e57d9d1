package journal

import (
	"crypto/rand"
	"errors"
	"io"
	"strings"

	"rtdb/keyspace"
)

// Load implements [keyspace.Store].
func (j *Journal) Load(s keyspace.State) (keyspace.History, error) {
	j.state = s
	p := replay{directory: j.directory, layout: j.layout, store: j.store}
	p.apply = func(w *keyspace.Record) error {
		if o := j.options.Observer.Loaded; o != nil && p.records%10_000 == 0 {
			o(p.records)
		}
		return s.Apply(w)
	}
	if err := j.recover(&p); err != nil {
		return keyspace.History{}, err
	}
	if o := j.options.Observer.Loaded; o != nil {
		o(p.records)
	}
	j.next = j.active.Load().next
	j.logged.Store(uint64(j.layout.logBytes))
	j.kept.snapshot, j.kept.bytes = j.layout.snapshot, j.layout.bytes-j.layout.logBytes
	j.kept.useless = j.layout.useless
	j.removeUseless()
	j.loaded = true
	j.running.Go(j.commitGroups)
	if j.options.Fsync > 0 {
		j.running.Go(j.syncRegularly)
	}
	j.look()
	j.running.Go(j.watchRoom)
	j.running.Go(j.snapshotRegularly)
	return keyspace.History{Epoch: j.identity.Epoch, Last: j.next - 1, Forgotten: p.forgotten}, nil
}

// recover reads the store, and begins a new segment.
func (j *Journal) recover(p *replay) error {
	h := header{magic: segmentMagic, salt: newSalt(), always: j.options.Fsync == Always, boot: j.boot}
	if j.layout.fresh {
		j.store = newStoreID()
		h.store, h.number, h.last = j.store, 1, clockVersion()
		h.forgotten = h.last
		if err := j.begin(h); err != nil {
			return err
		}
		p.forgotten = h.last
		j.identity = newIdentity(j.store)
		return j.identity.write(j.directory)
	}
	if err := p.run(); err != nil {
		return err
	}
	j.store = p.store
	t := &p.tail
	h.store, h.number, h.before = j.store, t.header.number+1, t.withSeal()
	if j.identity.Store == "" {
		j.identity = newIdentity(j.store).succeed(j.store)
		if err := j.identity.write(j.directory); err != nil {
			return err
		}
		if o := j.options.Observer.Unknown; o != nil {
			o(j.layout.path(identityName))
		}
	}
	p.last = max(p.last, j.identity.From)
	p.forgotten = max(p.forgotten, j.identity.From)
	if !t.header.always && (h.boot == [16]byte{} || h.boot != t.header.boot || t.torn > 0 || j.layout.failed) {
		// The operating system ended, too, or the disk lost what the system had. Clients
		// may know writes that are lost, and their versions.
		p.last += lostVersions
		p.forgotten = p.last
	}
	h.last, h.forgotten = p.last, p.forgotten
	if err := j.finish(p); err != nil {
		return err
	}
	if err := j.begin(h); err != nil {
		return err
	}
	if j.layout.failed {
		return j.directory.remove(failedName)
	}
	return nil
}

// lostVersions is more than the number of versions that can be lost: those of one segment and
// one group.
const lostVersions = 1 << 24

func newStoreID() (id storeID) {
	_, _ = rand.Read(id[:]) // it never fails
	return id
}

// bootOf returns the part of a bootID that a header has.
func bootOf(id string) (b [16]byte) {
	copy(b[:], strings.ReplaceAll(id, "-", ""))
	return b
}

// finish completes the work of the process that ended: it cuts off a torn end, writes again
// the frames that may not be durable, seals the segment before the newest if its seal is
// missing, and makes the newest segment the active one.
func (j *Journal) finish(p *replay) error {
	for _, t := range []*tail{p.before, &p.tail} {
		if t == nil {
			continue
		}
		name := segmentName(t.header.number)
		if o := j.options.Observer.Torn; o != nil && t.torn > 0 {
			o(t.path, int64(t.whole.length), t.torn)
		}
		f, err := j.directory.reopen(name, int64(t.whole.length))
		if err != nil {
			return err
		}
		from := t.durable
		if t.sealed { // the rest was durable before its successor was made
			from = t.whole.length - frameHeaderSize
		}
		err = j.writeAgain(f, name, from, t.whole.length)
		if err == nil {
			err = f.Sync() // the cut is durable before other bytes are written there
		}
		if err == nil && t == &p.tail { // begin seals it after it has made the next segment
			j.active.Store(newSegment(f, t.header, t.whole, t.next))
			continue
		}
		if err == nil && !t.sealed {
			if _, err = f.Write(t.seal()); err == nil {
				err = f.Sync()
			}
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// writeAgain writes a part of a file over itself. If a Sync failed, Linux takes the bytes for
// durable, and the next Sync succeeds, although the disk does not have the bytes that a
// process reads.
func (j *Journal) writeAgain(f file, name string, from, to uint64) error {
	r, err := j.directory.open(name)
	if err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, r, int64(from))
	if err == nil {
		_, err = io.CopyN(io.NewOffsetWriter(f, int64(from)), r, int64(to-from))
	}
	return errors.Join(err, r.Close())
}
