package jetstream

import (
	"fmt"
	"time"
)

// deleteMargin is how much earlier than deleteAge a delete counts as forgotten, because the
// clocks of the servers may differ.
const deleteMargin = time.Hour

// checkDeletes fails if the feed had a gap that may be older than the deletes that the stream
// remembers. The node would go on with keys that were deleted. before is when the last message
// before the gap was stored. Only times of the server count: this machine's clock stands still
// while the machine is suspended.
func (s *Store) checkDeletes(before time.Time) error {
	silence := parseTime(s.takenAt).Sub(before)
	if silence < s.deleteAge-deleteMargin {
		return nil
	}
	err := fmt.Errorf("jetstream: this node was cut off for %v, and the stream has forgotten deletes of that time: restart this node",
		silence.Round(time.Minute))
	s.fail(err)
	return err
}

// A forgetting finds the sequence up to which deletes may be missing from the stream. The
// stream forgets a delete after deleteAge. So all deletes that were stored after the limit
// are there, and the deletes before the first message after the limit may be missing.
type forgetting struct {
	limit time.Time
	found bool
	first uint64 // the sequence of the first message after the limit
}

// see looks at the messages in the stream's order.
func (f *forgetting) see(x *stored) {
	if !f.found && !x.at().Before(f.limit) {
		f.found, f.first = true, x.sequence
	}
}

// version returns a version up to which deletes may be missing. created is when the stream was
// made, and place the sequence that was loaded.
func (f *forgetting) version(created time.Time, place uint64) uint64 {
	switch {
	case created.After(f.limit):
		return 0
	case f.found:
		return lastVersion(f.first - 1)
	}
	return lastVersion(place)
}
