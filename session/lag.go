package session

import "time"

// A client has fallen behind when more than this waits for it at once.
const (
	lagUpdates = 256
	lagBytes   = 64 << 10
)

// LagInterval is the shortest time between two reports of one session's lag.
const LagInterval = 10 * time.Second

// A Lag says how far behind a client is.
type Lag struct {
	PendingKeys  int           // keys and topics of which an update waits
	PendingBytes int64         // of updates and replies
	Behind       time.Duration // how long the client took for what was sent before: the oldest waited as long
}

// A lagWatch looks at what waited each time that the session's actor takes it
// over, and reports a client that has fallen behind.
type lagWatch struct {
	report   func(Lag)
	taken    time.Time // when the batch before was
	sent     time.Time
	reported time.Time
}

// atOnce is how soon the next batch is taken where it had waited for the one
// before. A burst that finds the session idle says nothing of the client.
const atOnce = time.Millisecond

func (w *lagWatch) watch(batch []mail) {
	if w.report == nil {
		return
	}
	now := time.Now()
	before, waited := w.taken, now.Sub(w.sent) < atOnce
	w.taken = now
	if !waited || now.Sub(w.reported) < LagInterval {
		return
	}
	updates, bytes := 0, int64(0)
	for _, m := range batch {
		if m.update != nil {
			updates++
		}
		bytes += int64(len(m.message))
	}
	if updates == 0 || updates <= lagUpdates && bytes <= lagBytes {
		return // its own replies it waits for itself
	}
	w.reported = now
	type name struct{ key, topic string }
	names := make(map[name]struct{})
	for _, m := range batch {
		if m.update != nil {
			names[name{m.update.Key, m.update.Topic}] = struct{}{}
		}
	}
	w.report(Lag{PendingKeys: len(names), PendingBytes: bytes, Behind: now.Sub(before)})
}

// done notes that the batch was sent.
func (w *lagWatch) done() {
	if w.report != nil {
		w.sent = time.Now()
	}
}
