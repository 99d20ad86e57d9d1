//go:build !linux

package bench

import (
	"errors"
	"net/netip"
)

// A process is not known here.
type process struct {
	pid  int
	name string
}

func findListener(netip.AddrPort) (*process, string) {
	return nil, "on this system a process cannot be measured"
}

func (p *process) read() (reading, error) {
	return reading{}, errors.ErrUnsupported
}
