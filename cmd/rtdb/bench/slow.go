package bench

import "time"

// A slow client takes 32 KiB a second, through buffers as small as they go.
// Slower, it would be so far behind that its answer to a ping comes after the
// ten seconds that a server waits for it.
const (
	slowStep   = 4 << 10 // bytes that it takes at once
	slowPause  = 125 * time.Millisecond
	slowBuffer = 4 << 10

	// slowSegment is what a segment of TCP carries on most ways through the
	// Internet. On the loopback interface segments are of 64 KiB, and the kernel
	// would hold megabytes of them: there is no slow client that is like that.
	slowSegment = 1400
)
