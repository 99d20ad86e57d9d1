//go:build !linux

package bench

import (
	"errors"
	"net/netip"
	"syscall"
)

type timer = plainTimer

func newTimer() *timer { return newPlainTimer() }

// limitSocketBuffers does nothing, so the kernel holds more for a slow client than it
// does on Linux.
func limitSocketBuffers(_, _ string, _ syscall.RawConn) error {
	return nil
}

// A process cannot be measured on this system.
type process struct {
	pid  int
	name string
}

func findListener(netip.AddrPort) (*process, string) {
	return nil, "bench can measure a process only on Linux"
}

func (p *process) sample() (usageSample, error) {
	return usageSample{}, errors.ErrUnsupported
}
