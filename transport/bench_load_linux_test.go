package transport_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"
	"unsafe"
)

// A load is the clients of one server: publishers, and subscribers that all get each
// write. It shares the machine with the server, so it must be cheap: it is one loop over
// epoll(7) that counts bytes and does not look at them. Of a varyingSpeaker it counts the byte
// that each update has once.
type load struct {
	poller      *poller
	timer       *socket // nil if the rate is not limited
	buffer      [64 << 10]byte
	subscribers []*subscriber
	publishers  []*publisher
	turn        int    // the publisher that writes next
	unit        int    // bytes of an update, or 1 if once is counted
	once        []byte // is counted in place of all bytes; empty: all are counted
	stampPlace  int    // the place of the stamp, counted from the end of an update or a request

	latency func(time.Duration) // may be nil; called for nearly every update

	sent  int
	reads int   // that brought bytes
	least int   // updates that every subscriber has
	at    []int // at[n%len(at)] is how many subscribers have n updates
}

type subscriber struct {
	*socket
	bytes int // that were counted
}

// A publisher writes its requests, which have one length, in turn.
type publisher struct {
	*socket
	requests []byte
	unit     int
	next     int // the offset of the next request
}

// A shape is the size of a load and its speed.
type shape struct {
	keys, subscribers, publishers int

	window int // writes that the slowest subscriber may be behind
	rate   int // writes a second, evenly; 0 is as fast as the window allows

	timed bool // deliveries are timed, too, in rounds of their own

	publishAt string   // the address that publishers connect to; "": that of the first subscriber
	more      []string // other addresses for the subscribers, in turn
}

// A varyingSpeaker has updates of several lengths.
type varyingSpeaker interface {
	once() byte // returns a byte that each update has once, and that nothing else has
}

// mostWindow is the largest window, and how many requests a publisher has.
const mostWindow = 512

func newLoad(address string, say speaker, s shape) (l *load, err error) {
	update := say.update(0)
	l = &load{unit: len(update), stampPlace: stampPlace(update), at: make([]int, mostWindow+1)}
	if v, ok := say.(varyingSpeaker); ok {
		l.unit, l.once = 1, []byte{v.once()}
	}
	if l.poller, err = newPoller(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	addresses := append([]string{address}, s.more...)
	for i := range s.subscribers {
		k, err := dialSocket(addresses[i%len(addresses)])
		if err != nil {
			return l, err
		}
		l.subscribers = append(l.subscribers, &subscriber{socket: k})
		if err := say.listen(k, s.keys); err != nil {
			return l, err
		}
		if err := l.poller.add(k, len(l.subscribers)-1); err != nil {
			return l, err
		}
	}
	l.at[0] = len(l.subscribers)
	for i := range s.publishers {
		k, err := dialSocket(cmp.Or(s.publishAt, address))
		if err != nil {
			return l, err
		}
		p := &publisher{socket: k, unit: len(say.write(0))}
		for n := 0; len(p.requests) < mostWindow*p.unit; n++ {
			p.requests = append(p.requests, say.write((i+n*s.publishers)%s.keys)...)
		}
		l.publishers = append(l.publishers, p)
		if err := say.publish(k); err != nil {
			return l, err
		}
	}
	return l, nil
}

func (l *load) close() (err error) {
	for _, s := range l.subscribers {
		err = errors.Join(err, s.close())
	}
	for _, p := range l.publishers {
		err = errors.Join(err, p.close())
	}
	return errors.Join(err, l.poller.close())
}

// run writes for a time and returns when every subscriber has every update.
func (l *load) run(d time.Duration, s shape) (writes int, err error) {
	if s.rate > 0 {
		if err := l.startTimer(time.Second / time.Duration(s.rate)); err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, l.timer.close()) }()
	}
	before, due := l.sent, l.sent
	for end := time.Now().Add(d); time.Now().Before(end); {
		upTo := l.least + s.window
		if s.rate > 0 {
			upTo = min(upTo, due)
		}
		if err := l.publish(upTo - l.sent); err != nil {
			return 0, err
		}
		ticks, err := l.hear()
		if err != nil {
			return 0, err
		}
		due += ticks
	}
	for l.least < l.sent {
		if _, err := l.hear(); err != nil {
			return 0, err
		}
	}
	for i, s := range l.subscribers {
		if s.bytes != l.sent*l.unit {
			return 0, fmt.Errorf("subscriber %d heard %d bytes, and %d writes of %d are sent", i, s.bytes, l.sent, l.unit)
		}
	}
	return l.sent - before, nil
}

// publish writes n requests with the publishers in turn.
func (l *load) publish(n int) error {
	l.sent += max(n, 0)
	for n > 0 {
		share := (n + len(l.publishers) - 1) / len(l.publishers)
		p := l.publishers[l.turn%len(l.publishers)]
		l.turn++
		size := min(share*p.unit, len(p.requests)-p.next)
		if l.latency != nil {
			stamp(p.requests[p.next:p.next+size], p.unit, l.stampPlace)
		}
		if err := p.send(p.requests[p.next : p.next+size]); err != nil {
			return err
		}
		p.next = (p.next + size) % len(p.requests)
		n -= size / p.unit
	}
	return nil
}

// hear waits until there is something to read or the timer fires, reads it, and returns
// how often the timer has fired.
func (l *load) hear() (ticks int, err error) {
	events, err := l.poller.wait()
	if err != nil {
		return 0, fmt.Errorf("%w: %d writes are sent, %d have come to all", err, l.sent, l.least)
	}
	for _, e := range events {
		if e.Fd == timerNumber {
			if _, err := l.timer.read(l.buffer[:8]); err != nil {
				return ticks, err
			}
			ticks += int(binary.NativeEndian.Uint64(l.buffer[:]))
			continue
		}
		if err := l.read(l.subscribers[e.Fd]); err != nil {
			return ticks, err
		}
	}
	for l.least < l.sent && l.at[l.least%len(l.at)] == 0 {
		l.least++
	}
	return ticks, nil
}

func (l *load) read(s *subscriber) error {
	n, err := s.read(l.buffer[:])
	if err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("the server has closed a connection")
	}
	if l.latency != nil {
		l.readStamps(l.buffer[:n], s.bytes%l.unit)
	}
	if len(l.once) > 0 {
		n = bytes.Count(l.buffer[:n], l.once)
	}
	l.reads++
	before := s.bytes / l.unit
	s.bytes += n
	after := s.bytes / l.unit
	if after > l.sent {
		return fmt.Errorf("a subscriber has heard %d updates, and %d writes are sent", after, l.sent)
	}
	l.at[before%len(l.at)]--
	l.at[after%len(l.at)]++
	return nil
}

const timerNumber = -1 // the timer's number in the poller

// startTimer starts a timer (timerfd_create(2)) that fires at each interval, because the
// time-out of epoll has steps of a millisecond.
func (l *load) startTimer(interval time.Duration) (err error) {
	if l.timer, err = newTimer(interval); err != nil {
		return err
	}
	return l.poller.add(l.timer, timerNumber)
}

// newTimer returns a timer, from which the number of times that it has fired is read.
func newTimer(interval time.Duration) (*socket, error) {
	const monotonic = 1
	fd, _, errno := syscall.Syscall(syscall.SYS_TIMERFD_CREATE, monotonic, syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if errno != 0 {
		return nil, errno
	}
	timer := &socket{fd: int(fd)}
	each := syscall.NsecToTimespec(interval.Nanoseconds())
	spec := [2]syscall.Timespec{each, each}
	if _, _, errno := syscall.Syscall6(syscall.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0); errno != 0 {
		return nil, errors.Join(errno, timer.close())
	}
	return timer, nil
}
