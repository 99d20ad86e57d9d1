package transport_test

import (
	"bytes"
	"strconv"
	"time"
)

// stampLength is the number of digits of a stamp: the time of a write, which stands in
// place of the first bytes of a sampleValue.
const stampLength = 16

// stampPlace returns the place of the stamp, counted from the end of an update. Its request
// has the same bytes from the value on.
func stampPlace(update []byte) int { return len(update) - bytes.Index(update, sampleValue) - len(`"`) }

var stampsBegin = time.Now()

// stamp writes the time into requests, each unit bytes long, at a place counted from the end
// of each.
func stamp(requests []byte, unit, place int) {
	now := uint64(time.Since(stampsBegin))
	for at := unit - place; at < len(requests); at += unit {
		for n, i := now, stampLength-1; i >= 0; n, i = n/10, i-1 {
			requests[at+i] = '0' + byte(n%10)
		}
	}
}

// readStamps reads the stamps of updates. The first begun bytes of the first update came
// before. A stamp that came in two parts is left out.
func (l *load) readStamps(updates []byte, begun int) {
	now := time.Since(stampsBegin)
	for at := l.unit - l.stampPlace - begun; at+stampLength <= len(updates); at += l.unit {
		if at < 0 {
			continue
		}
		if n, err := strconv.ParseUint(string(updates[at:at+stampLength]), 10, 64); err == nil {
			l.latency(now - time.Duration(n))
		}
	}
}
