package journal

import (
	"fmt"
	"time"

	"rtdb/keyspace"
)

// lookInterval is the time between two looks at the disk.
const lookInterval = time.Second

// A Usage is the space that a store takes.
type Usage struct {
	Used     int64 // the bytes of its files
	Free     int64 // the bytes that it may still write
	Segments int   // the files of the log
}

// Usage returns the space that the store took at most a second ago.
func (j *Journal) Usage() Usage {
	if u := j.usage.Load(); u != nil {
		return *u
	}
	return Usage{}
}

// lookShare divides the reserve: if more than that part of it was written since the last
// look, the next look comes at once.
const lookShare = 8

// wrote counts bytes that were written. If they are too large a part of the reserve,
// watchRoom looks at once: a fast disk takes the whole reserve in less than a lookInterval.
func (j *Journal) wrote(n int) {
	if unseen := j.unseen.Add(int64(n)); j.options.Reserve > 0 && unseen > j.options.Reserve/lookShare {
		select {
		case j.lookNow <- struct{}{}:
		default: // it is about to look
		}
	}
}

// watchRoom refuses values while there is less free space than the reserve.
func (j *Journal) watchRoom() {
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for {
		j.look()
		select {
		case <-ticker.C:
		case <-j.lookNow:
		case <-j.stop:
			return
		}
	}
}

// look looks at the disk once.
func (j *Journal) look() {
	j.unseen.Store(0)
	var u Usage
	infos, err := j.directory.list()
	if err != nil {
		return // the next write fails, too
	}
	for _, info := range infos {
		u.Used += info.Size()
		if _, ok := parseName(info.Name(), segmentSuffix); ok {
			u.Segments++
		}
	}
	if u.Free, err = j.directory.free(); err != nil {
		return
	}
	j.usage.Store(&u)
	if j.options.Reserve == 0 {
		return
	}
	refusing, was := u.Free < j.options.Reserve, j.room.Load() != nil
	switch {
	case refusing:
		err := fmt.Errorf("%w: %d bytes are free, which is less than the reserve of %d", keyspace.ErrInsufficientStorage, u.Free, j.options.Reserve)
		j.room.Store(&err)
	case was:
		j.room.Store(nil)
	}
	if o := j.options.Observer.Room; o != nil && refusing != was {
		o(u.Free, refusing)
	}
}
