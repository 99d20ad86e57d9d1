//go:build unix

package actor

import (
	"os"
	"runtime"
	"sync"
	"syscall"
)

// Yield lets other goroutines run, and makes the runtime look at the network first. A
// goroutine that works for longer calls it about once in a millisecond. It is for work
// that can wait: Yield returns when no goroutine but those that yielded has been ready to
// run for a moment, or else after about 10 ms.
//
// [runtime.Gosched] is not enough. The scheduler looks at the network only when a
// processor has no goroutine to run, or when nobody has looked for 10 ms. While as many
// goroutines work and call Gosched as there are processors, each request waits those
// 10 ms until it is read. So Yield waits for a pipe to become readable: when all that work
// have yielded, a processor looks at the network, and finds the pipe together with the
// requests that came. That costs 5 to 10 µs. While one key with 10,000 subscribers was
// written at full speed, updates of other keys had a median latency of 3 ms, and 7 to
// 19 ms with Gosched.
func Yield() { network.yield() }

// network is shared by all goroutines: if several yield at once, one look is enough.
var network networkWait

// A networkWait makes goroutines wait until the runtime has looked at the network.
type networkWait struct {
	waiting sync.Mutex // held by the goroutine that waits for the pipe; guards the other fields

	opened  bool
	r, w    *os.File        // the pipe; not used, but kept from the garbage collector
	reading syscall.RawConn // of r; nil: there is no pipe
	writing int             // the descriptor of w
	written bool
}

func (n *networkWait) yield() {
	first := n.waiting.TryLock()
	if !first {
		n.waiting.Lock()
	}
	defer n.waiting.Unlock()
	if !first { // another goroutine has waited for the pipe meanwhile
		return
	}
	if !n.opened {
		n.opened = true
		n.open()
	}
	n.written = false
	if n.reading == nil || n.reading.Read(n.step) != nil {
		runtime.Gosched()
	}
}

// open opens the pipe. If that fails, because there are too many open files, goroutines
// yield without it.
func (n *networkWait) open() {
	r, w, err := os.Pipe()
	if err != nil {
		return
	}
	reading, err := r.SyscallConn()
	if err != nil {
		return
	}
	writing, err := w.SyscallConn()
	if err != nil {
		return
	}
	if writing.Control(func(fd uintptr) { n.writing = int(fd) }) == nil {
		n.r, n.w, n.reading = r, w, reading
	}
}

// step is called by RawConn.Read, which waits for the pipe if step returns false, and then
// calls it again. The first call fills the pipe, the second empties it.
func (n *networkWait) step(fd uintptr) (done bool) {
	if n.written {
		readByte(int(fd)) // it takes what the first call wrote
		return true
	}
	n.written = true
	return !writeByte(n.writing)
}
