package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

const (
	// subscribeBytes limits the keys of one subscribe request. The server accepts
	// messages of 1 MiB.
	subscribeBytes = 256 << 10

	subscribeTimeout = 10 * time.Second
)

// A subscriber is a client that receives. Its keys are numbered by their position, see
// plan.position. Its fields belong to the goroutine of receive, and to others once that
// has ended.
type subscriber struct {
	*connection
	run      *run
	shard    *shard
	firstKey int
	slow     bool

	sequences []uint64 // of each key, the sequence number of its last update
	versions  []uint64 // of each key, the version of its last update
	complete  int      // this many keys, from the first, have their last update
	settled   bool     // the run does not wait for this subscriber any more

	violations    violations
	disconnectErr error // not nil if the connection ended too early
}

// subscribe subscribes to the keys, in several requests if necessary, and waits for the
// replies.
func (s *subscriber) subscribe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, s.cut)
	defer stop()
	plan := s.run.plan
	for position := 0; position < plan.subscriptions; {
		var names []string
		for size := 0; position < plan.subscriptions && size < subscribeBytes; position++ {
			name := plan.keyName(plan.keyAt(s.firstKey, position))
			names = append(names, name)
			size += len(name) + 3 // quotes and comma
		}
		if err := s.writeJSON(map[string]any{"action": "subscribe", "keys": names, "id": position}); err != nil {
			return err
		}
		message, err := s.read()
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = fmt.Errorf("the server did not reply to a subscribe request: %w", cause)
			}
			return err
		}
		var r reply
		switch err := json.Unmarshal(message, &r); {
		case err != nil || r.Error == nil && !r.OK:
			return fmt.Errorf("the server sent an unexpected reply to a subscribe request: %.200q", message)
		case r.Error != nil:
			return fmt.Errorf("the server refused a subscribe request: %w (check the token's grants and the server's limits)", r.Error)
		}
	}
	s.sequences = make([]uint64, plan.subscriptions)
	s.versions = make([]uint64, plan.subscriptions)
	return nil
}

// receive handles messages until the connection ends.
func (s *subscriber) receive() {
	r := s.run
	for {
		message, err := s.read()
		if err != nil {
			s.handleDisconnect(err)
			return
		}
		if u, ok := r.codec.parseUpdate(message); ok {
			s.handleUpdate(u, r.now())
		} else {
			s.handleOther(message)
		}
		if !s.settled && r.finalsKnown.Load() && s.hasFinals() {
			s.settle()
		}
	}
}

// handleUpdate checks and counts an update.
func (s *subscriber) handleUpdate(u update, arrived int64) {
	position := s.run.plan.position(s.firstKey, u.key)
	if position >= len(s.sequences) || u.key >= s.run.plan.keys {
		s.violations.add("a subscriber received an update of key %d without a subscription", u.key)
		return
	}
	if before := s.versions[position]; u.version <= before {
		s.violations.add("a subscriber received version %d of key %d after version %d", u.version, u.key, before)
		return
	}
	before := s.sequences[position]
	if u.sequence <= before {
		s.violations.add("a subscriber received write %d of key %d after write %d", u.sequence, u.key, before)
		return
	}
	s.versions[position], s.sequences[position] = u.version, u.sequence
	s.shard.record(u.due, arrived, u.sequence-before-1)
	if s.run.windows != nil && !s.slow {
		s.run.windows[u.key].credit(before, u.sequence)
	}
}

// handleOther handles a message that is not a valid update of this run.
func (s *subscriber) handleOther(message []byte) {
	var r reply
	if err := json.Unmarshal(message, &r); err == nil && r.Action != "" && r.Error == nil {
		return // the reply to a ping, or a notice that the token expires soon
	}
	s.violations.add("a subscriber received an unexpected message: %.200q", message)
}

// hasFinals reports whether the last update of every key has arrived.
func (s *subscriber) hasFinals() bool {
	for ; s.complete < len(s.sequences); s.complete++ {
		key := s.run.plan.keyAt(s.firstKey, s.complete)
		if s.sequences[s.complete] < s.run.finals[key].sequence {
			return false
		}
	}
	return true
}

func (s *subscriber) settle() {
	s.settled = true
	s.run.subscriberSettled()
}

// handleDisconnect handles the end of the connection. If that is too early, it makes
// sure that neither a publisher nor settle waits for this subscriber.
func (s *subscriber) handleDisconnect(err error) {
	if s.run.closing.Load() {
		return
	}
	s.disconnectErr = err
	s.run.subscriberDisconnected()
	if s.run.windows != nil && !s.slow {
		s.creditAllWrites()
	}
	if !s.settled {
		s.settle()
	}
}

// creditAllWrites credits every write of the keys in the name of a subscriber that is
// not connected any more, until the publishers are done.
func (s *subscriber) creditAllWrites() {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	credited := slices.Clone(s.sequences)
	for {
		select {
		case <-s.run.writingDone:
			return
		case <-ticker.C:
		}
		for position := range credited {
			w := s.run.windows[s.run.plan.keyAt(s.firstKey, position)]
			if n := w.written.Load(); n > credited[position] {
				w.credit(credited[position], n)
				credited[position] = n
			}
		}
	}
}

// addTo adds the violations, the disconnection and the lost updates to the report. The
// receiver must have ended.
func (s *subscriber) addTo(report *Report) {
	report.addViolations(s.violations)
	if s.disconnectErr != nil {
		report.addDisconnect(s.disconnectErr)
		report.Lost += int64(len(s.sequences))
		return
	}
	for position, sequence := range s.sequences {
		key := s.run.plan.keyAt(s.firstKey, position)
		version := s.versions[position]
		switch final := s.run.finals[key]; {
		case final.unknown, sequence < final.sequence:
			report.Lost++
		case sequence > final.sequence, final.sequence > 0 && version != final.version:
			var v violations
			v.add("a subscriber's last update of key %d is write %d, version %d, but the server holds write %d, version %d",
				key, sequence, version, final.sequence, final.version)
			report.addViolations(v)
		}
	}
}
