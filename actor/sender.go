package actor

import "slices"

// A waitingSender is a call of Send that waits for room in a full queue.
type waitingSender[M any] struct {
	message M
	result  chan error // receives nil (accepted) or ErrStopped, once
}

// addSenderLocked adds a sender behind those that already wait.
func (a *Actor[M]) addSenderLocked(m M) *waitingSender[M] {
	s := &waitingSender[M]{message: m, result: make(chan error, 1)}
	e := a.extraLocked()
	e.senders = append(e.senders, s)
	return s
}

// removeSender removes s from the senders that wait. It returns false if s no longer
// waits; the result is then in s.result.
func (a *Actor[M]) removeSender(s *waitingSender[M]) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.extra == nil {
		return false
	}
	i := slices.Index(a.extra.senders, s)
	if i < 0 {
		return false
	}
	a.extra.senders = slices.Delete(a.extra.senders, i, i+1)
	return true
}

// acceptSendersLocked moves the messages of waiting senders into the queue, oldest first,
// while there is room.
func (a *Actor[M]) acceptSendersLocked() {
	e := a.extra
	if e == nil || len(e.senders) == 0 {
		return
	}
	n := min(len(e.senders), int(a.capacity)-len(a.queue))
	for _, s := range e.senders[:n] {
		a.queue = append(a.queue, s.message)
		s.result <- nil
	}
	e.senders = slices.Delete(e.senders, 0, n)
}

// refuseSendersLocked gives ErrStopped to all senders that wait.
func (a *Actor[M]) refuseSendersLocked() {
	if a.extra == nil {
		return
	}
	for _, s := range a.extra.senders {
		s.result <- ErrStopped
	}
	a.extra.senders = nil
}
