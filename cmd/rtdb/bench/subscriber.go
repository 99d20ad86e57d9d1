package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// chunkBytes bounds a subscribe message; the server takes 1 MiB.
const chunkBytes = 256 << 10

// A subscriber is a client that receives. What it knows is its receiver's own,
// and others' once that has ended.
type subscriber struct {
	*link
	bench *bench
	shard *shard
	first int // of its keys
	slow  bool

	numbers  []uint64 // of each key, the last that came
	versions []uint64
	arrived  int // so many of its first keys have been found to be at their end
	settled  bool

	wrong      int64
	firstWrong string
	gone       error // why the connection ended before it should
}

// subscribe asks for the keys and waits for the replies.
func (s *subscriber) subscribe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, s.cut)
	defer stop()
	plan := s.bench.plan
	for at := 0; at < plan.subscriptions; {
		var names []string
		for size := 0; at < plan.subscriptions && size < chunkBytes; at++ {
			name := plan.name((s.first + at) % plan.keys)
			names = append(names, name)
			size += len(name) + 3
		}
		if err := s.writeJSON(map[string]any{"action": "subscribe", "keys": names, "id": at}); err != nil {
			return err
		}
		message, err := s.read()
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = fmt.Errorf("no reply to a subscribe: %w", cause)
			}
			return err
		}
		var r reply
		switch err := json.Unmarshal(message, &r); {
		case err != nil || r.Error == nil && !r.OK:
			return fmt.Errorf("the reply to a subscribe is %.200q", message)
		case r.Error != nil:
			return fmt.Errorf("the server refused a subscribe: %w", r.Error)
		}
	}
	s.numbers = make([]uint64, plan.subscriptions)
	s.versions = make([]uint64, plan.subscriptions)
	return nil
}

// receive takes messages until the connection ends.
func (s *subscriber) receive() {
	b := s.bench
	for {
		message, err := s.read()
		if err != nil {
			s.end(err)
			return
		}
		if u, ok := b.form.update(message); ok {
			s.take(u, b.now())
		} else {
			s.other(message)
		}
		if !s.settled && b.settling.Load() && s.complete() {
			s.settle()
		}
	}
}

// take checks and counts an update.
func (s *subscriber) take(u update, now int64) {
	at := s.bench.plan.at(s.first, u.key)
	if at >= len(s.numbers) || u.key >= s.bench.plan.keys {
		s.complain("an update of key %d, which it has not subscribed to", u.key)
		return
	}
	if before := s.versions[at]; u.version <= before {
		s.complain("version %d of key %d after version %d", u.version, u.key, before)
		return
	}
	before := s.numbers[at]
	if u.number <= before {
		s.complain("write %d of key %d after write %d", u.number, u.key, before)
		return
	}
	s.versions[at], s.numbers[at] = u.version, u.number
	s.shard.record(u.due, now, u.number-before-1)
	if s.bench.windows != nil && !s.slow {
		s.bench.windows[u.key].credit(before, u.number)
	}
}

// other looks at a message that is no update as it should be.
func (s *subscriber) other(message []byte) {
	var r reply
	if err := json.Unmarshal(message, &r); err == nil && r.Action != "" && r.Error == nil {
		return // the pong that settle asks for, or a token about to expire
	}
	s.complain("a message that makes no sense here: %.200q", message)
}

func (s *subscriber) complain(format string, args ...any) {
	if s.wrong++; s.wrong == 1 {
		s.firstWrong = "a subscriber got " + fmt.Sprintf(format, args...)
	}
}

// complete says whether all keys have come to their end.
func (s *subscriber) complete() bool {
	for ; s.arrived < len(s.numbers); s.arrived++ {
		if s.numbers[s.arrived] < s.bench.finals[(s.first+s.arrived)%s.bench.plan.keys].number {
			return false
		}
	}
	return true
}

func (s *subscriber) settle() {
	s.settled = true
	s.bench.unsettled.done()
}

// end is the receiver's last act. Where the subscriber was needed still, it goes
// on to count as reached by all that is written, so that nobody waits for it.
func (s *subscriber) end(err error) {
	b := s.bench
	if b.closing.Load() {
		return
	}
	s.gone = err
	b.lostSubscriber()
	if b.windows != nil && !s.slow {
		s.haunt()
	}
	if !s.settled {
		s.settle()
	}
}

func (s *subscriber) haunt() {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	passed := append([]uint64(nil), s.numbers...)
	for {
		select {
		case <-s.bench.published:
			return
		case <-ticker.C:
		}
		for at := range passed {
			w := s.bench.windows[(s.first+at)%s.bench.plan.keys]
			if n := w.written.Load(); n > passed[at] {
				w.credit(passed[at], n)
				passed[at] = n
			}
		}
	}
}

// account adds what came and what did not to the report, once the receiver has
// ended.
func (s *subscriber) account(r *Report) {
	r.note(s.wrong, s.firstWrong)
	if s.gone != nil {
		r.disconnected(s.gone)
		r.Lost += int64(len(s.numbers))
		return
	}
	for at := range s.numbers {
		key := (s.first + at) % s.bench.plan.keys
		switch want := s.bench.finals[key]; {
		case want.unknown, s.numbers[at] < want.number:
			r.Lost++
		case s.numbers[at] > want.number, want.number > 0 && s.versions[at] != want.version:
			r.note(1, fmt.Sprintf("a subscriber ends at write %d, version %d of key %d, and the server at write %d, version %d",
				s.numbers[at], s.versions[at], key, want.number, want.version))
		}
	}
}

// A final is what a key holds at the end.
type final struct {
	number, version uint64
	unknown         bool // its publisher's connection ended
}
