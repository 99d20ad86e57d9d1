package socket

import (
	"bufio"
	"sync"
	"sync/atomic"
)

// A wire is the network connection as the library and the session both use it. The
// library reads from it, and writes control frames to it. The session writes text
// frames past the library. The wire keeps frames whole and in order, lets no data
// follow a close frame, and does not wait for a client that takes nothing.
//
// Its three jobs have a file each: read.go, write.go and close.go. The writing itself is in
// output.go.
type wire struct {
	output // first, because each write begins there

	// The reader's part. Only the goroutine that reads uses it, except for the
	// atomic fields. That is a goroutine of Serve; once closing is set, it may be
	// the session's actor.
	reader       *bufio.Reader          // the library's, over this wire
	ahead        []byte                 // bytes that were read from the connection and not yet by reader
	block        *readBlock             // the block that ahead is a part of; nil for the bytes that net/http had read
	full         bool                   // the last read filled its buffer: more may wait
	partial      atomic.Bool            // bytes were read that are not a whole frame yet
	ponged       atomic.Bool            // a pong was read since the last ping
	timing       atomic.Int32           // a message's timing
	seldom       atomic.Bool            // nothing came for a while before the last message: park without waiting
	resumed      bool                   // the poller says that there is something to read
	leader       atomic.Pointer[leader] // set while the goroutine that reads is the poller's leader
	blockedSince atomic.Int64           // when the read that waits began, Unix nanoseconds; 0 if none waits; negative if it was called off

	// The handler's part.
	readers *Readers
	calls   atomic.Uint64           // of Handler.Handle: bits, and their number
	backlog atomic.Pointer[backlog] // set while readsAhead is set in calls, and perhaps longer

	// The closer's part.
	closeMu      sync.Mutex
	closing      bool        // the session closes the WebSocket; changed under closeMu
	closeSent    bool        // a close frame was sent: the read deadline is final
	leftNormally atomic.Bool // the client has closed with 1000
	echoing      atomic.Bool // the library answers the client's close frame, or its fault
	lingers      atomic.Bool // the client is sending a message that is too big

	controlMu sync.Mutex
	control   *control // frames that wait; nil if none do
}
