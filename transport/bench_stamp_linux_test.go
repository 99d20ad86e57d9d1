package transport_test

import (
	"strconv"
	"time"
)

// A stamp is when an update was written, in place of the first bytes of a
// sampleValue: 16 digits.
const stampLength = 16

// stampPlace is where it begins, counted from the end of a request and of an
// update alike: they end with the value, a quote and a brace.
const stampPlace = 62 + len(`"}`)

var stampsBegin = time.Now()

// stamp puts the time into requests.
func stamp(requests []byte, unit int) {
	now := uint64(time.Since(stampsBegin))
	for at := unit - stampPlace; at < len(requests); at += unit {
		for n, i := now, stampLength-1; i >= 0; n, i = n/10, i-1 {
			requests[at+i] = '0' + byte(n%10)
		}
	}
}

// readStamps reads those of what came, which begins with so many bytes of an
// update already there. One that came in two parts is left out.
func (l *load) readStamps(updates []byte, begun int) {
	now := time.Since(stampsBegin)
	for at := l.unit - stampPlace - begun; at+stampLength <= len(updates); at += l.unit {
		if at < 0 {
			continue
		}
		if n, err := strconv.ParseUint(string(updates[at:at+stampLength]), 10, 64); err == nil {
			l.latency(now - time.Duration(n))
		}
	}
}
