package transport

import "syscall"

// maxUnsent is how much of what it has not sent the system keeps for a client.
// Else it would be megabytes, all of them older than what conflation has for a
// client that is slow.
const maxUnsent = 32 << 10

// limitUnsent has writes taken only while less than maxUnsent has not been sent
// (TCP_NOTSENT_LOWAT, Linux 3.12). What has been sent and not been acknowledged
// does not count, so a long way costs no throughput.
func limitUnsent(fd int) {
	const notSentLowAt = 25
	// Where it fails there is more between us and the client, that is all.
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, notSentLowAt, maxUnsent)
}
