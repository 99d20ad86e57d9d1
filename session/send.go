package session

import (
	"sync"

	"rtdb/keyspace"
)

// chunkBytes is how much is handed to the Conn at once, at least, when that
// much waits: large enough that a system call costs little for each byte,
// small enough to look now and then whether the session has ended.
const chunkBytes = 32 << 10

// mail is what waits for the client.
type mail struct {
	message []byte
	update  *keyspace.Update // nil: the message is a reply
	kind    kind
}

type kind uint8

const (
	data kind = iota
	wake      // nothing of ours, but the Conn has something to send
	end       // nothing is sent after it
)

// handle sends what waits, chunk by chunk.
func (s *Session) handle(batch []mail) {
	if s.said {
		return
	}
	s.lag.watch(batch)
	defer s.lag.done()
	chunk := chunks.Get().(*[][]byte)
	defer chunks.Put(chunk)
	for len(batch) > 0 && s.phase.Load() != cut {
		n, updates, size := gather(batch, chunk)
		if n > 0 {
			err := s.send(*chunk, size)
			clear(*chunk)
			if err != nil {
				s.Abort(err)
				break
			}
			s.delivered.Add(updates)
		}
		if n < len(batch) && batch[n].kind == end {
			s.hangUp()
			return
		}
		batch = batch[n:]
	}
	if s.phase.Load() == cut {
		s.hangUp()
	}
}

var chunks = sync.Pool{New: func() any { return new([][]byte) }}

// gather fills chunk with the first messages of batch, up to chunkBytes and
// not past an end, and returns how many it took, how many of those are
// updates, and their size in bytes.
func gather(batch []mail, chunk *[][]byte) (n int, updates uint64, size int64) {
	*chunk = (*chunk)[:0]
	for _, m := range batch {
		if m.kind == end || size >= chunkBytes {
			break
		}
		n++
		if m.kind == wake {
			continue
		}
		if m.update != nil {
			updates++
		}
		*chunk = append(*chunk, m.message)
		size += int64(len(m.message))
	}
	return n, updates, size
}

func (s *Session) send(messages [][]byte, size int64) error {
	if s.pending.Add(-size) <= s.maxPending/2 {
		s.wakeReader()
	}
	return s.conn.Send(messages)
}

func (s *Session) hangUp() {
	s.said = true
	s.conn.Close(s.Cause())
}

// wakeReader lets a Reply that waits for room look again.
func (s *Session) wakeReader() {
	select {
	case s.drained <- struct{}{}:
	default:
	}
}
